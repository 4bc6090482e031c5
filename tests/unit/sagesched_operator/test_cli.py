"""The command line, and files that follow from the code."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import yaml

sys.path.insert(0, str(Path(__file__).parent))

from pool_cases import SMALLEST, a_pool, merged

from sagesched_gateway.settings.config import parse_config
from sagesched_operator.cli import main

ROOT = Path(__file__).parents[3]


@pytest.fixture
def file(tmp_path):
    def write(*documents):
        path = tmp_path / "pool.yaml"
        path.write_text(yaml.safe_dump_all(documents))
        return str(path)

    return write


def test_help_teaches(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    assert "sagesched-operator render -f pool.yaml" in capsys.readouterr().out


def test_render_prints_every_object_and_settings_that_the_gateway_reads(file, capsys):
    assert main(["render", "-f", file(a_pool(SMALLEST), {"kind": "Namespace"})]) == 0
    objects = list(yaml.safe_load_all(capsys.readouterr().out))
    assert objects[-1]["kind"] == "Deployment"
    assert all("ownerReferences" not in one["metadata"] for one in objects)
    (settings,) = [one["data"]["gateway.yaml"] for one in objects if one["kind"] == "ConfigMap"]
    assert parse_config(yaml.safe_load(settings)).openai.served_name == "llama-3.1-8b"


def test_render_leaves_out_kinds_that_are_not_there(file, capsys):
    assert (
        main(["render", "-f", file(a_pool(SMALLEST)), "--without", "monitoring.coreos.com/v1/PodMonitor"])
        == 0
    )
    assert "kind: PodMonitor" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"runtime": {"imge": "x"}}, 'unknown field "spec.runtime.imge", did you mean image?'),
        ({"runtime": {"image": None}}, "spec.runtime.image: Required value"),
        ({"replicas": "two"}, "spec.replicas in body must be of type integer"),
        ({"replicas": -1}, "spec.replicas in body should be greater than or equal to 0"),
        (
            {"scheduling": {"policy": "lifo"}},
            'spec.scheduling.policy: Unsupported value: "lifo": supported values: "fcfs"',
        ),
        ({"model": {"source": {"pvc": None, "hostPath": {"path": "/x"}}}}, "hostPath is not allowed"),
        ({"scaling": {"actuator": "HPA"}}, "an actuator needs maxReplicas"),
    ],
)
def test_render_refuses_in_words(file, capsys, change, words):
    assert main(["render", "-f", file(a_pool(merged(SMALLEST, change)))]) == 2
    assert words in capsys.readouterr().err


def test_a_file_without_pools_is_told(file, capsys):
    assert main(["render", "-f", file({"kind": "Namespace"})]) == 2
    assert "holds no LLMServingPool" in capsys.readouterr().err
    assert main(["render", "-f", "/nowhere.yaml"]) == 2


def test_the_definition_in_the_repository_is_the_one_of_the_code(capsys):
    assert main(["crd"]) == 0
    text = capsys.readouterr().out
    assert (ROOT / "crds" / "llmservingpools.yaml").read_text() == text, "run `make crds`"
    assert (ROOT / "charts" / "sagesched" / "files" / "llmservingpools.yaml").read_text() == text

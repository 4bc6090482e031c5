"""All that the operator makes of a pool, for each field that a pool has, fits the schemas of its kinds."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from cluster.control_plane import ControlPlane
from cluster.schemas import conform

sys.path.insert(0, str(Path(__file__).parents[2] / "unit" / "sagesched_operator"))

from pool_cases import FIELDS, SMALLEST, a_pool, spec_of

from sagesched_operator.api.pool import parse_pool
from sagesched_operator.build.desired import build
from sagesched_operator.build.surroundings import Capabilities, Installation
from sagesched_operator.yaml_text import to_yaml


def test_what_the_golden_files_show_fits_the_schemas_of_its_kinds(
    chart_cluster: ControlPlane, schemas: Path
) -> None:
    installation = Installation(allows_host_path=True)
    specs = {"smallest": SMALLEST} | {name: spec_of(name) for name in FIELDS}
    objects = [
        one
        for name, spec in specs.items()
        for one in build(parse_pool(a_pool(spec, name=name)), installation, Capabilities()).objects
    ]
    assert len(objects) > 8 * len(specs)
    assert conform(chart_cluster, schemas, to_yaml(objects)) == []


@pytest.mark.parametrize("name", ["smallest", "gateway-tls"])
def test_a_field_that_does_not_exist_would_be_seen(
    chart_cluster: ControlPlane, schemas: Path, name: str
) -> None:
    spec = SMALLEST if name == "smallest" else spec_of(name)
    deployment = build(parse_pool(a_pool(spec)), Installation(), Capabilities()).objects[-1]
    pod = dict(deployment["spec"]["template"]["spec"])
    pod["initContainers"] = [{**pod["initContainers"][-1], "restartPolice": "Always"}]
    template = {**deployment["spec"]["template"], "spec": pod}
    broken = {**deployment, "spec": {**deployment["spec"], "template": template}}
    assert "restartPolice" in " ".join(conform(chart_cluster, schemas, to_yaml([broken])))

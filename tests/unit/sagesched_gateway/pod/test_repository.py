"""Triton's repository as links, with the KV policy in the engine's own configuration."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from sagesched_emulator.triton_model import repository
from sagesched_gateway.cli import main
from sagesched_gateway.pod.repository import RepositoryError, lay_out

CLASSIC = """
name: "tensorrt_llm"
backend: "tensorrtllm"
parameters: {
  key: "batch_scheduler_policy"
  value: {
    string_value: "${batch_scheduler_policy}"
  }
}
parameters { key: "gpt_model_type" value { string_value: "inflight_fused_batching" } }
"""


@pytest.fixture
def folders(tmp_path):
    source, target = tmp_path / "source", tmp_path / "target"
    source.mkdir()
    target.mkdir()
    return source, target


def a_model(source, name, files):
    for path, text in files.items():
        file = source / name / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)


def test_the_classic_engine_gets_its_parameter_and_all_else_is_linked(folders):
    source, target = folders
    a_model(source, "tensorrt_llm", {"config.pbtxt": CLASSIC, "1/rank0.engine": "weights"})
    a_model(source, "preprocessing", {"config.pbtxt": 'backend: "python"', "1/model.py": "code"})
    assert lay_out(source, target, "MaxUtilization") == ["tensorrt_llm/config.pbtxt"]
    written = (target / "tensorrt_llm" / "config.pbtxt").read_text()
    assert 'string_value: "max_utilization"' in written
    assert 'string_value: "inflight_fused_batching"' in written
    assert (target / "tensorrt_llm" / "1").is_symlink()
    assert (target / "tensorrt_llm" / "1" / "rank0.engine").read_text() == "weights"
    assert (target / "preprocessing" / "config.pbtxt").is_symlink()


def test_an_engine_without_the_parameter_gets_one(folders):
    source, target = folders
    a_model(source, "mine", {"config.pbtxt": 'name: "mine"\nbackend: "tensorrtllm"\n'})
    lay_out(source, target, "GuaranteedNoEvict")
    assert (
        (target / "mine" / "config.pbtxt")
        .read_text()
        .endswith(
            'parameters: { key: "batch_scheduler_policy" value: { string_value: "guaranteed_no_evict" } }\n'
        )
    )


def test_the_llm_api_gets_its_setting_and_keeps_the_others(folders):
    source, target = folders
    settings = {"model": "llama", "scheduler_config": {"waiting_queue_policy": "fcfs"}}
    a_model(source, "tensorrt_llm", {"1/model.yaml": yaml.safe_dump(settings), "1/model.py": "code"})
    assert lay_out(source, target, "MaxUtilization") == ["tensorrt_llm/1/model.yaml"]
    assert yaml.safe_load((target / "tensorrt_llm/1/model.yaml").read_text()) == {
        "model": "llama",
        "scheduler_config": {"waiting_queue_policy": "fcfs", "capacity_scheduler_policy": "MAX_UTILIZATION"},
    }
    assert (target / "tensorrt_llm/1/model.py").is_symlink()


def test_the_emulated_engine_takes_the_policy_too(folders):
    text = (Path(repository.__file__).parent / "repository/classic/tensorrt_llm/config.pbtxt").read_text()
    source, target = folders
    a_model(source, "tensorrt_llm", {"config.pbtxt": text})
    lay_out(source, target, "GuaranteedNoEvict")
    assert '"guaranteed_no_evict"' in (target / "tensorrt_llm" / "config.pbtxt").read_text()


def test_a_restarted_pod_lays_out_anew(folders):
    source, target = folders
    a_model(source, "old", {"config.pbtxt": CLASSIC})
    lay_out(source, target, "MaxUtilization")
    (source / "old").rename(source / "new")
    lay_out(source, target, "MaxUtilization")
    assert [entry.name for entry in target.iterdir()] == ["new"]


def test_what_is_no_model_is_not_shown_to_triton(folders):
    source, target = folders
    a_model(source, "tensorrt_llm", {"config.pbtxt": CLASSIC})
    a_model(source, "unconfigured", {"1/model.onnx": "weights"})
    a_model(source, "tokenizer", {"tokenizer.json": "{}"})
    (source / "lost+found").mkdir(mode=0o000)
    (source / "README.md").write_text("ours")
    lay_out(source, target, "MaxUtilization")
    assert {entry.name for entry in target.iterdir()} == {"tensorrt_llm", "unconfigured"}


def test_no_models_is_told_with_the_field_to_look_at(folders, capsys):
    source, target = folders
    with pytest.raises(RepositoryError, match=r"spec\.model\.repository"):
        lay_out(source, target, "MaxUtilization")
    arguments = ["repository", "--source", str(source), "--target", str(target)]
    assert main([*arguments, "--kv-policy", "MaxUtilization"]) == 1
    assert "holds no model folders" in capsys.readouterr().err


def test_a_broken_model_yaml_is_named(folders):
    source, target = folders
    a_model(source, "tensorrt_llm", {"1/model.yaml": "a: ["})
    with pytest.raises(RepositoryError, match=r"model\.yaml: not valid YAML"):
        lay_out(source, target, "MaxUtilization")

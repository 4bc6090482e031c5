"""The command line: what it prints, what it refuses, and with which exit code."""

from __future__ import annotations

import importlib.metadata
import socket

import pytest
import yaml

from sagesched_gateway import parts
from sagesched_gateway.cli import main

QUIET = """
listen: {grpc: "127.0.0.1:0", http: "127.0.0.1:0", metrics: "127.0.0.1:0"}
triton: {grpc: "127.0.0.1:9", http: "127.0.0.1:10", metrics: "127.0.0.1:11"}
predictor: {mode: "None"}
"""


pytestmark = pytest.mark.usefixtures("own_logging")


@pytest.fixture
def settings(tmp_path):
    def write(text):
        path = tmp_path / "gateway.yaml"
        path.write_text(text)
        return ["--config", str(path)]

    return write


def test_help_teaches(capsys):
    with pytest.raises(SystemExit) as caught:
        main(["--help"])
    assert caught.value.code == 0
    text = capsys.readouterr().out
    assert "sagesched-gateway serve --config" in text
    assert "exit codes" in text


@pytest.mark.parametrize("arguments", [[], ["serve"], ["fly", "--config", "x"]])
def test_bad_usage_is_exit_code_2(arguments):
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2


def test_check_prints_the_settings_in_full(settings, capsys):
    assert main(["check", *settings(QUIET)]) == 0
    shown = yaml.safe_load(capsys.readouterr().out)
    assert shown["scheduling"]["policy"] == "gittins-boost"
    assert shown["engine"]["slots"] == "auto"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("scheduling: {policy: nope}", "scheduling.policy"),
        ("no: thing", "unknown setting"),
        ("predictor: {encoder: /nowhere}", "predictor.encoder: no file encoder.onnx in /nowhere"),
        (
            "tokenizer: /nowhere.json\npredictor: {mode: 'None'}",
            "tokenizer: no tokenizer.json at /nowhere.json",
        ),
        (
            "predictor: {mode: 'None', history: {file: /nowhere.npz}}",
            "predictor.history.file: no file /nowhere.npz",
        ),
    ],
)
def test_check_names_what_is_wrong_on_one_line(settings, capsys, text, words):
    assert main(["check", *settings(text)]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert words in lines[0]
    assert all(line.startswith("sagesched-gateway: ") for line in lines)


def test_a_missing_file_is_bad_usage(capsys):
    assert main(["serve", "--config", "/nowhere.yaml"]) == 2
    assert "/nowhere.yaml" in capsys.readouterr().err


def test_both_builds_of_the_runtime_are_refused(settings, capsys, monkeypatch):
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "1")
    assert main(["serve", *settings(QUIET)]) == 1
    line = capsys.readouterr().err.splitlines()[-1]
    assert "both onnxruntime and onnxruntime-gpu" in line
    assert "uninstall both" in line


def test_one_build_of_the_runtime_is_fine():
    parts.refuse_both_runtimes()


def test_an_address_in_use_is_said_on_one_line(settings, capsys):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        for face in ("grpc", "http", "metrics"):
            text = QUIET.replace(f'{face}: "127.0.0.1:0"', f'{face}: "{address}"')
            assert main(["serve", *settings(text)]) == 1
            lines = capsys.readouterr().err.splitlines()
            assert f"sagesched-gateway: cannot listen on {address}" in lines[-1]


def test_a_tokenizer_that_is_none_is_said_on_one_line(settings, capsys, tmp_path):
    (tmp_path / "other.json").write_text("{}")
    text = f"{QUIET}\ntokenizer: {tmp_path / 'other.json'}"
    assert main(["serve", *settings(text)]) == 1
    assert "other.json" in capsys.readouterr().err.splitlines()[-1]

from __future__ import annotations

import os

import pytest

from sagesched_gateway.settings.check import find_problems
from sagesched_gateway.settings.config import parse_config

QUIET = {"predictor": {"mode": "None"}}


def problems_of(**settings):
    return find_problems(parse_config(QUIET | settings))


def test_defaults_name_no_file():
    assert problems_of() == []


def test_a_tokenizer_is_a_file_or_a_folder_with_one(tmp_path):
    file = tmp_path / "tokenizer.json"
    for path in (file, tmp_path):
        assert problems_of(tokenizer=str(path)) == [
            f"tokenizer: no tokenizer.json at {path}; name the file or its folder, or remove the setting"
        ]
    file.write_text("{}")
    assert problems_of(tokenizer=str(file)) == problems_of(tokenizer=str(tmp_path)) == []


def test_a_chat_template_must_be_there(tmp_path):
    file = tmp_path / "chat.jinja"
    (problem,) = problems_of(openai={"chatTemplate": str(file)})
    assert problem.startswith(f"openai.chatTemplate: no file {file}; name a Jinja file")
    file.write_text("{{ messages }}")
    assert problems_of(openai={"chatTemplate": str(file)}) == []


def test_a_recording_needs_a_folder_that_can_be_written(tmp_path, monkeypatch):
    file = tmp_path / "records" / "log.jsonl"
    settings = {"recorder": {"file": str(file)}}
    (problem,) = problems_of(**settings)
    assert problem.startswith(f"recorder.file: no folder {file.parent}; ")
    file.parent.mkdir()
    assert problems_of(**settings) == []
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may write everywhere
    (problem,) = problems_of(**settings)
    assert "cannot be written; let the gateway's user" in problem


@pytest.mark.parametrize("kind", ["link", "folder"])
def test_a_recording_goes_to_a_plain_file(tmp_path, kind):
    path = tmp_path / "log.jsonl"
    path.mkdir() if kind == "folder" else path.symlink_to("elsewhere")
    (problem,) = problems_of(recorder={"file": str(path)})
    assert problem.startswith(f"recorder.file: {path} is not a plain file; ")


def test_a_chat_template_that_cannot_be_read_is_told(tmp_path):
    template = tmp_path / "chat.jinja"
    template.write_text("{% for %}")
    (problem,) = problems_of(openai={"chatTemplate": str(template)})
    assert problem.startswith("chat template: line 1: ")
    assert problem.endswith("name another with openai.chatTemplate")


def test_two_cannot_listen_on_one_port():
    assert problems_of(listen={"grpc": "0.0.0.0:9001", "http": "127.0.0.1:9001"}) == [
        "listen.http: listen.grpc has port 9001 too; give each its own"
    ]
    assert problems_of(listen={"grpc": "0.0.0.0:18001"}) == [
        "triton.grpc: listen.grpc has port 18001 too; give each its own"
    ]
    elsewhere = dict.fromkeys(("grpc", "http", "metrics"), "triton.example:8001")
    assert problems_of(triton=elsewhere) == []
    assert problems_of(listen=dict.fromkeys(("grpc", "http", "metrics"), "127.0.0.1:0")) == []


def test_a_snapshot_needs_a_folder_that_can_be_written(tmp_path):
    snapshot = tmp_path / "kept" / "history.npz"
    settings = {"predictor": {"mode": "None", "history": {"snapshot": str(snapshot)}}}
    (problem,) = problems_of(**settings)
    assert problem.startswith(f"predictor.history.snapshot: {snapshot.parent} is no folder to write to; ")
    snapshot.parent.mkdir()
    assert problems_of(**settings) == []

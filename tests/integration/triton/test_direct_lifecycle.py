"""Starting and ending a Triton: what is left, and what a start that fails says."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from uuid import UUID

import pytest

from sagesched_emulator.triton_server import TritonServer, TritonServerError

END_S = 30.0
MARK = "5a9e5ced"
SHARED_MEMORY = Path("/dev/shm")


def test_serve_prints_addresses_and_leaves_nothing(tmp_path: Path) -> None:
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    command = [sys.executable, "-m", "sagesched_emulator.cli", "serve", "--profile", "instant"]
    report = tmp_path / "engine.json"
    process = subprocess.Popen(
        [*command, "--report", str(report)], stdout=subprocess.PIPE, text=True, env=environment
    )
    try:
        assert process.stdout is not None
        addresses = json.loads(process.stdout.readline())
        assert set(addresses) == {"grpc", "http", "metrics"}
        process.send_signal(signal.SIGTERM)
        assert process.wait(END_S) == 0
    finally:
        process.kill()
        process.communicate()
    host, port = addresses["grpc"].split(":")
    with socket.socket() as probe:
        assert probe.connect_ex((host, int(port))) != 0
    assert json.loads(report.read_text())["iterations"] == 0
    assert not list(tmp_path.glob("sagesched-triton-*"))


def test_start_that_fails_gives_the_reason_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr("sagesched_emulator.triton_server.uuid4", lambda: UUID(MARK * 4))
    broken = tmp_path / "answers.jsonl"
    broken.write_text('{"prompt_sha256": "ab"}\n')
    with (
        pytest.raises(TritonServerError, match=r"answers\.jsonl:1: not an answer"),
        TritonServer(answers=broken),
    ):
        pass
    assert not list(tmp_path.glob("sagesched-triton-*"))
    assert not list(SHARED_MEMORY.glob(f"*{MARK}*"))


def test_taken_port_is_named() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with (
            pytest.raises(TritonServerError, match=f"port {port} .* choose another"),
            TritonServer(http_port=port),
        ):
            pass


def test_report_of_a_server_never_started() -> None:
    with pytest.raises(TritonServerError, match="has not been started"):
        TritonServer().report()

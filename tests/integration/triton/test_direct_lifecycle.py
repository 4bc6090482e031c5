"""Starting and ending a Triton: what is left, and what a start that fails says."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from uuid import UUID

import pytest

from sagesched_emulator.triton_server import TritonServer, TritonServerError

END_S = 30.0
REPORT_S = 0.5
"""As in `triton_model.housekeeping`, which only Triton's interpreter can import."""
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


def test_a_report_that_cannot_be_written_is_told_before_anything_runs(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="nowhere"), TritonServer(report_path=tmp_path / "nowhere/engine.json"):
        pass


def test_a_report_that_is_lost_on_the_way_costs_no_metrics(tmp_path: Path) -> None:
    folder = tmp_path / "mounted"
    folder.mkdir()
    with TritonServer("instant", report_path=folder / "engine.json") as server:
        folder.rename(tmp_path / "away")
        time.sleep(2 * REPORT_S)
        body = json.dumps({"text_input": "Hello.", "max_tokens": 5}).encode()
        give_up_at = time.monotonic() + END_S / 3
        count = 0.0
        while count == 0 and time.monotonic() < give_up_at:
            urllib.request.urlopen(f"http://{server.http_address}/v2/models/ensemble/generate", body).close()
            page = urllib.request.urlopen(f"http://{server.metrics_address}/metrics").read().decode()
            (count,) = (float(n) for n in re.findall(r'iteration_counter"[^\n]* (\S+)\n', page))
            time.sleep(0.2)
    assert count > 0


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

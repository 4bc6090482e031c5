"""What a live gateway records and logs, and what replay makes of it."""

from __future__ import annotations

import json
import stat
import sys
import urllib.request
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from gateway_process import Exchange, GatewayProcess, settings_for, until

from sagesched_emulator.dataset import read_dataset
from sagesched_emulator.load import LoadRequest, generate_message
from sagesched_gateway.kserve import ModelInferRequest
from sagesched_replay.cli import main as replay_command

NUM_SHORT = 6
BEFORE_CANCEL = 3


def a_message(id: str, prompt: str, max_tokens: int) -> ModelInferRequest:
    request = LoadRequest(id=id, prompt=prompt, max_tokens=max_tokens, arrival_s=0.0)
    return ModelInferRequest.FromString(generate_message(request, "ensemble"))


def metrics_of(gateway: GatewayProcess) -> str:
    with urllib.request.urlopen(f"http://{gateway.metrics}/metrics", timeout=10) as answer:
        text: str = answer.read().decode()
    return text


def a_busy_minute(gateway: GatewayProcess, known: Any) -> None:
    """Answers that end by themselves, at their cap, and because the caller leaves."""
    gateway.wait_ready()
    for number in range(NUM_SHORT):
        Exchange(gateway.grpc_address, a_message(f"short-{number}", known.short.prompt, 64)).rest()
    capped = a_message("capped", known.very_long.prompt, 10)
    Exchange(gateway.grpc_address, capped, metadata=(("x-sagesched-tenant", "acme"),)).rest()
    left = Exchange(gateway.grpc_address, a_message("left\nbehind", known.very_long.prompt, 2000))
    for _ in range(BEFORE_CANCEL):
        left.next()
    left.cancel()
    Exchange(gateway.grpc_address, a_message("huge", known.short.prompt, 10**9)).rest()
    until(lambda: sum(gateway.status()["counters"].get(n, 0) for n in ("completed", "cancelled")) == 8)
    until(lambda: gateway.queue() == (0, 0))


@pytest.mark.parametrize(("prompts", "trusted"), [("Drop", ["127.0.0.0/8", "::1"]), ("Keep", [])])
def test_what_is_recorded_can_be_replayed(direct_triton, known, tmp_path, capsys, prompts, trusted):
    file = tmp_path / "recording.jsonl"
    settings = settings_for(
        direct_triton,
        engine={"slots": 4, "kvBlocks": 1000},
        recorder={"file": str(file), "prompts": prompts},
        attributes={"trustedNetworks": trusted},
    )
    gateway = GatewayProcess(settings, tmp_path)
    try:
        a_busy_minute(gateway, known)
        until(lambda: 'recorder_records_total{result="written"} 9.0' in metrics_of(gateway))
        ignored = f"attributes_ignored_total {0 if trusted else 1}.0"
        assert ignored in metrics_of(gateway)
    finally:
        gateway.close()
    lines = {line["id"]: line for line in map(json.loads, file.read_text().splitlines())}
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert Counter(line["outcome"] for line in lines.values()) == {
        "completed": NUM_SHORT + 1,
        "cancelled": 1,
        "never-fits": 1,
    }
    short = lines["short-0"]
    assert (short["output_tokens"], short["max_tokens"], short["censored"]) == (12, 64, False)
    assert 0 <= short["queue_s"] <= short["ttft_s"] <= short["ttlt_s"]
    assert (lines["capped"]["output_tokens"], lines["capped"]["censored"]) == (10, True)
    assert lines["capped"].get("tenant") == ("acme" if trusted else None)
    assert lines["left\nbehind"]["output_tokens"] >= BEFORE_CANCEL
    assert lines["left\nbehind"]["censored"]
    assert lines["huge"]["output_tokens"] == 0
    assert (known.short.prompt in file.read_text()) == (prompts == "Keep")

    records = read_dataset(file, needs_prompts=False)
    assert len(records) == NUM_SHORT + 2
    assert replay_command(["run", "--data", str(file), "--distribution", "none"]) == 0
    assert f"{NUM_SHORT + 2} requests of recording.jsonl" in capsys.readouterr().out
    if prompts == "Drop":
        assert replay_command(["run", "--data", str(file)]) == 2
        assert "record with 'recorder.prompts: Keep'" in capsys.readouterr().err


@pytest.mark.parametrize("format", ["JSON", "Text"])
def test_the_log_names_requests_and_never_their_content(direct_triton, known, tmp_path, format):
    settings = settings_for(
        direct_triton, engine={"slots": 4, "kvBlocks": 1000}, log={"level": "debug", "format": format}
    )
    gateway = GatewayProcess(settings, tmp_path)
    try:
        a_busy_minute(gateway, known)
    finally:
        gateway.close()
    text = (tmp_path / "gateway.log").read_text()
    for prompt in (known.short.prompt, known.very_long.prompt):
        assert prompt not in text
        assert json.dumps(prompt)[1:-1] not in text
    if format == "JSON":
        lines = [json.loads(line) for line in text.splitlines()]
        ended = {line["client_id"]: line for line in lines if line["message"] == "request ended"}
        assert ended["left\nbehind"]["outcome"] == "cancelled"
        assert ended["short-0"]["output_tokens"] == 12
        assert len({line["request"] for line in ended.values()}) == NUM_SHORT + 3
        assert all(line["request"].startswith("sagesched-") for line in ended.values())
    else:
        (line,) = [line for line in text.splitlines() if "client_id=capped" in line]
        assert " DEBUG sagesched_gateway.dispatch.settling: request ended request=sagesched-" in line
        assert 'client_id="left\\nbehind"' in text

"""A gateway under load whose settings are swapped as Kubernetes swaps them: nothing is lost meanwhile."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from gateway_process import Exchange, GatewayProcess, settings_for, until

from sagesched_emulator.config_mount import ConfigMount
from sagesched_emulator.load import LoadRequest, LoadSpec, generate_message, run_load
from sagesched_emulator.triton_server import TritonServer
from sagesched_gateway.kserve import ModelInferRequest

NUM_RELOADS = 20
EACH_S = 0.4
REQUESTS_PER_S = 30
POLICIES = ("ssjf", "sagesched", "gittins-boost", "fcfs")
WITHIN_S = 1.0


class Mounted:
    """A gateway on mounted settings."""

    def __init__(self, triton: TritonServer, folder: Path, **changes: Any) -> None:
        self.settings = settings_for(triton, **changes)
        self.mount = ConfigMount(folder, "gateway.yaml", "")
        self.gateway = GatewayProcess(self.settings, folder)
        self.log = folder / "gateway.log"

    def swap(self, **changes: Any) -> None:
        self.mount.swap(json.dumps(self.settings | changes))

    def seconds_until(self, condition: Callable[[dict[str, Any]], bool]) -> float:
        began_at = time.monotonic()
        until(lambda: condition(self.gateway.status()), 10)
        return time.monotonic() - began_at


@pytest.fixture
def start(direct_triton: TritonServer, tmp_path: Path) -> Iterator[Callable[..., Mounted]]:
    started: list[Mounted] = []

    def start(**changes: Any) -> Mounted:
        started.append(Mounted(direct_triton, tmp_path, **changes))
        started[-1].gateway.wait_ready()
        return started[-1]

    yield start
    for mounted in started:
        mounted.gateway.close()


def a_long_exchange(mounted: Mounted, known: Any, id: str) -> Exchange:
    request = LoadRequest(id=id, prompt=known.very_long.prompt, max_tokens=2000, arrival_s=0.0)
    message = ModelInferRequest.FromString(generate_message(request, "ensemble"))
    return Exchange(mounted.gateway.grpc_address, message, metadata=(("triton_grpc_error", "true"),))


def reload_often(mounted: Mounted) -> list[float]:
    """Swap the settings again and again, each third time to nonsense; seconds each took to be noticed."""
    seconds = []
    for number in range(NUM_RELOADS):
        policy = POLICIES[number % len(POLICIES)]
        if number % 3 == 2:
            in_effect = mounted.gateway.status()["policy"]
            mounted.swap(scheduling={"policy": f"nonsense-{number}"})
            seconds.append(
                mounted.seconds_until(lambda status, n=number: f"-{n}'" in status["config"]["error"])
            )
            assert mounted.gateway.status()["policy"] == in_effect
        else:
            mounted.swap(scheduling={"policy": policy})
            seconds.append(
                mounted.seconds_until(
                    lambda status, policy=policy: status["policy"] == policy and not status["config"]["error"]
                )
            )
        time.sleep(max(0.0, EACH_S - seconds[-1]))
    return seconds


async def test_reloads_under_load_lose_nothing_and_are_quick(direct_triton, known, start):
    mounted = start(engine={"slots": 2, "lookahead": 0})
    num_requests = round(NUM_RELOADS * EACH_S * REQUESTS_PER_S)
    load = LoadSpec(
        address=mounted.gateway.grpc_address,
        model="ensemble",
        requests=tuple(
            LoadRequest(
                id=f"r{number}", prompt=known.short.prompt, max_tokens=64, arrival_s=number / REQUESTS_PER_S
            )
            for number in range(num_requests)
        ),
        timeout_s=60,
    )
    result, seconds = await asyncio.gather(run_load(load), asyncio.to_thread(reload_often, mounted))
    assert [timing.error for timing in result.timings if timing.error] == []
    assert all(timing.num_chunks >= known.short.output_tokens[0] for timing in result.timings)
    assert max(seconds) < WITHIN_S
    counters = mounted.gateway.status()["counters"]
    assert (counters["received"], counters["completed"]) == (num_requests, num_requests)
    log = mounted.log.read_text()
    assert log.count("settings refused") == NUM_RELOADS // 3
    assert "gateway.yaml:1: scheduling.policy: unknown policy 'nonsense-2'" in log


def test_a_reload_tells_what_is_in_effect_and_what_waits(start):
    mounted = start()
    first = mounted.gateway.status()
    assert first["config"] == {
        "file_digest": first["config_digest"],
        "error": "",
        "waits_for_restart": [],
    }
    mounted.swap(limits={"queuedRequests": 3}, drain={"maxSeconds": 1}, tokenizer="/elsewhere")
    assert mounted.seconds_until(lambda status: status["config"]["waits_for_restart"] != []) < WITHIN_S
    status = mounted.gateway.status()
    assert status["config"]["waits_for_restart"] == ["tokenizer"]
    assert len({first["config_digest"], status["config_digest"], status["config"]["file_digest"]}) == 3
    mounted.swap()
    assert mounted.seconds_until(lambda status: status["config_digest"] == first["config_digest"]) < WITHIN_S


def test_the_time_that_a_drain_is_given_follows_the_settings(start):
    mounted = start(predictor={"mode": "HistoryOnly"})
    assert mounted.gateway.status()["drain"]["budget_s"] == 300.0
    mounted.swap(drain={"maxSeconds": 60, "quantile": 0.99})
    nothing_runs_s = 5.0
    assert mounted.seconds_until(lambda status: status["drain"]["budget_s"] == nothing_runs_s) < WITHIN_S
    assert mounted.gateway.status()["drain"]["max_s"] == 60.0


def test_limits_and_the_log_level_are_those_of_the_last_swap(start, known):
    mounted = start(engine={"slots": 1, "lookahead": 0})
    first = mounted.gateway.status()["config_digest"]
    mounted.swap(limits={"queuedRequests": 1, "fullCode": "RESOURCE_EXHAUSTED"}, log={"level": "debug"})
    assert mounted.seconds_until(lambda status: status["config_digest"] != first) < WITHIN_S
    exchanges = [a_long_exchange(mounted, known, "runs")]
    until(lambda: mounted.gateway.queue() == (0, 1))
    exchanges.append(a_long_exchange(mounted, known, "waits"))
    until(lambda: mounted.gateway.queue() == (1, 1))
    (refused,) = a_long_exchange(mounted, known, "refused").rest()
    assert isinstance(refused, tuple)
    assert refused[0] == "RESOURCE_EXHAUSTED"
    for exchange in exchanges:
        exchange.cancel()
    until(lambda: mounted.gateway.queue() == (0, 0))
    until(lambda: "request ended" in mounted.log.read_text())


def test_a_hangup_reads_the_file_again_and_does_not_end_the_gateway(start):
    mounted = start(log={"level": "info"})
    mounted.mount.file.write_text(json.dumps(mounted.settings | {"scheduling": {"policy": "ssjf"}}))
    mounted.gateway.signal(signal.SIGHUP)
    assert mounted.seconds_until(lambda status: status["policy"] == "ssjf") < WITHIN_S

"""Same core, two clocks: what a live gateway's core was told gives the same commands when told again."""

from __future__ import annotations

import pickle
import sys
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import taped_gateway
from gateway_process import Exchange, GatewayProcess, settings_for, until

from sagesched_emulator.load import LoadRequest, generate_message
from sagesched_gateway.kserve import ModelInferRequest
from sagesched_gateway.scheduling.scheduler import Scheduler
from sagesched_predictor import LengthDistribution
from sagesched_replay.comparison import REPLAYED

NUM = 40


def read_tape(path: Path) -> list[Any]:
    pieces = []
    with path.open("rb") as file:
        while True:
            try:
                pieces.append(pickle.load(file))
            except EOFError:
                return pieces


def a_storm(gateway: GatewayProcess, known: Any) -> None:
    """More than the engine takes at once: short and capped ones, some that leave, one that never fits."""

    def ask(number: int) -> None:
        prompt = known.short.prompt if number % 3 else known.very_long.prompt
        max_tokens = 10**9 if number == 5 else 40 + number
        request = LoadRequest(id=f"r{number}", prompt=prompt, max_tokens=max_tokens, arrival_s=0.0)
        message = ModelInferRequest.FromString(generate_message(request, "ensemble"))
        exchange = Exchange(gateway.grpc_address, message)
        if number % 9 == 3:
            exchange.next()
            exchange.cancel()
        else:
            exchange.rest()

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(NUM)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    until(lambda: gateway.queue() == (0, 0))


@pytest.mark.parametrize("policy", ["fcfs", "gittins-boost"])
def test_a_live_tape_told_again_gives_the_same_commands(direct_triton, known, tmp_path, policy):
    tape = tmp_path / "tape"
    settings = settings_for(
        direct_triton,
        scheduling={"policy": policy},
        engine={"slots": 3, "kvBlocks": 1000},
        predictor={"mode": "HistoryOnly"},
    )
    program = (taped_gateway.__file__, str(tape))
    gateway = GatewayProcess(settings, tmp_path, program=program)
    try:
        gateway.wait_ready(predictor=True)
        a_storm(gateway, known)
    finally:
        gateway.close()
    (arguments, options), *told = read_tape(tape)
    core = Scheduler(*arguments, **options | {"policies": REPLAYED})
    kinds: Counter[str] = Counter()
    for (event, now), commands in zip(told[::2], told[1::2], strict=True):
        kinds[type(event).__name__] += 1
        kinds.update(type(command).__name__ for command in commands)
        assert core.handle(event, now) == commands, f"event {sum(kinds.values())}: {event}"
    assert kinds["Submitted"] == NUM
    assert kinds["Start"] >= NUM - 8
    for kind in ("Predicted", "Finished", "Progressed", "Cancelled", "Stop", "Reject"):
        assert kinds[kind] > 0, kind
    distributions = [event.distribution for event, _ in told[::2] if hasattr(event, "distribution")]
    assert any(isinstance(one, LengthDistribution) for one in distributions)

"""Streams whose chunks hold several tokens and say nothing of it, from a real Triton: lengths and speed."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from gateway_process import settings_for

from sagesched_emulator.profiles import profile
from sagesched_emulator.tokenizer import TOKENIZER_PATH
from sagesched_emulator.triton_model.repository import Layout
from sagesched_emulator.triton_server import TritonServer
from sagesched_gateway.gateway import Gateway
from sagesched_gateway.settings.config import parse_config
from sagesched_gateway.text import Sampling

INTERVAL = 16
ENGINE = "slot-bound"
TIME_SCALE = 0.5
NUM_ANSWERS = 24
REPORT_S = 1.5


@pytest.fixture(scope="module")
def triton() -> Iterator[TritonServer]:
    layout = Layout(name="llmapi", decoupled=True)
    with TritonServer(ENGINE, time_scale=TIME_SCALE, stream_interval=INTERVAL, layout=layout) as server:
        yield server


async def answers(gateway: Gateway, prefix: str) -> list[int]:
    """Lengths of answers as the gateway counts them, all asked for at once."""

    async def one(index: int) -> int:
        sampling = Sampling(max_tokens=2000, stream=True, temperature=0)
        message = gateway.dispatcher.compose("tensorrt_llm", f"{prefix} {index}", sampling)
        generation = gateway.dispatcher.generate(message)
        async for _ in generation:
            pass
        return generation.output_tokens

    return await asyncio.gather(*(one(index) for index in range(NUM_ANSWERS)))


def true_lengths(triton: TritonServer, num: int) -> list[int]:
    """Of the latest answers, by the engine's own report."""
    time.sleep(REPORT_S)
    latest = sorted(triton.report().requests, key=lambda request: request.order)[-num:]
    return [request.output_tokens for request in latest]


@pytest.mark.parametrize("tokenizer", [None, str(TOKENIZER_PATH)], ids=["by text", "by tokenizer"])
async def test_answers_are_as_long_as_they_are(triton, tokenizer):
    settings = settings_for(triton, **({"tokenizer": tokenizer} if tokenizer else {}))
    gateway = Gateway(parse_config(settings))
    await gateway.start()
    try:
        ours = await answers(gateway, "Tell of the river and")
        iteration_s = gateway.dispatcher.snapshot().iteration_s
    finally:
        await gateway.close()
    true = true_lengths(triton, NUM_ANSWERS)
    if tokenizer:
        assert sorted(ours) == sorted(true)
    else:
        assert sum(ours) == pytest.approx(sum(true), rel=0.05)
    # By chunks an iteration would be sixteen times as long.
    step_s = profile(ENGINE).step_time.seconds(NUM_ANSWERS // 2, NUM_ANSWERS // 2 * 300, 0)
    assert iteration_s == pytest.approx(step_s * TIME_SCALE, rel=0.5)

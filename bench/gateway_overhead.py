"""What the gateway costs where it cannot help: time to first token with free capacity, paired.

    python bench/gateway_overhead.py --requests 600

A real tritonserver with the `instant` engine (iterations of 0.2 ms) gets each prompt four times: directly,
through the gateway, through a bare grpc.aio proxy (`bare_proxy.py`: the price of any second hop in Python),
and directly again, in an order drawn anew for each, at a modest and even rate. Prints the distributions of
TTFT and those of the paired differences; what two direct ways differ by is the noise of the machine.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import grpc
import numpy as np
import numpy.typing as npt
from bare_proxy import BareProxy

from sagesched_emulator.answers import write_answers
from sagesched_emulator.demo.emulated_triton import EmulatedTriton
from sagesched_emulator.demo.errors import DemoError
from sagesched_emulator.demo.gateway_process import GatewayProcess, Prediction, gateway_config
from sagesched_emulator.demo.warmup import find_encoder, warm_history
from sagesched_emulator.load import CHANNEL_OPTIONS, STREAM_INFER, LoadRequest, generate_message
from sagesched_emulator.profiles import profile
from sagesched_emulator.trace import draw_trace
from sagesched_emulator.workload import generate

MODEL = "ensemble"
ENGINE = "instant"
UNMEASURED = 20
"""Pairs sent before those that count: connections and caches are cold at first."""

MAX_TOKENS = 32
"""Short answers: the first token is what counts, and capacity stays free."""


async def _first_token_s(channel: grpc.aio.Channel, message: bytes) -> float:
    """Send one request and read its answer to the end; seconds until its first message."""
    call = channel.stream_stream(STREAM_INFER)()
    started = time.perf_counter()
    await call.write(message)
    await call.done_writing()
    first = await call.read()
    elapsed = time.perf_counter() - started
    if first is grpc.aio.EOF or first[:1] == b"\x0a":
        raise DemoError(f"a request failed: {first!r}")
    while await call.read() is not grpc.aio.EOF:
        pass
    return elapsed


async def _pairs(
    addresses: Sequence[str], messages: Sequence[bytes], rate: float, seed: int
) -> npt.NDArray[np.float64]:
    """TTFT of each prompt on each way, seconds, shape (prompts, ways)."""
    rng = np.random.default_rng(seed)
    ttft_s = np.zeros((len(messages), len(addresses)))
    async with AsyncExitStack() as stack:
        channels = [
            await stack.enter_async_context(
                grpc.aio.insecure_channel(address, options=[*CHANNEL_OPTIONS, ("way", way)])
            )
            for way, address in enumerate(addresses)
        ]
        started = time.perf_counter()
        for index, message in enumerate(messages):
            for turn, way in enumerate(rng.permutation(len(channels))):
                due = started + (index + turn / len(channels)) / rate
                await asyncio.sleep(max(0.0, due - time.perf_counter()))
                ttft_s[index, way] = await _first_token_s(channels[way], message)
    return ttft_s


def _messages(records: Sequence[str]) -> list[bytes]:
    return [
        generate_message(LoadRequest(id=f"r{n}", prompt=prompt, max_tokens=MAX_TOKENS, arrival_s=0.0), MODEL)
        for n, prompt in enumerate(records)
    ]


def _measure(arguments: argparse.Namespace, folder: Path) -> tuple[npt.NDArray[np.float64], int]:
    """All pairs, and how many predictions the gateway made meanwhile."""
    num = arguments.requests + UNMEASURED
    records = generate(num + arguments.warm, arguments.seed)
    trace = draw_trace(records[:num], profile=profile(ENGINE), rho=0.1, num_requests=num, seed=arguments.seed)
    answers = folder / "answers.jsonl"
    write_answers(answers, trace)
    encoder = find_encoder()
    history = warm_history(records[num:], encoder, folder, model=MODEL, seed=arguments.seed)
    triton = EmulatedTriton(
        profile=ENGINE, time_scale=1.0, stream_interval=1, answers=answers, model=MODEL, folder=folder
    )
    with triton:
        config = gateway_config(
            triton.addresses, arguments.policy, Prediction(encoder=encoder, history=history)
        )
        with (
            GatewayProcess(config, folder, arguments.policy) as gateway,
            BareProxy(triton.addresses.grpc) as proxy,
        ):
            messages = _messages([request.prompt for request in trace.requests])
            direct = triton.addresses.grpc
            addresses = (direct, gateway.grpc_address, proxy.grpc_address, direct)
            rows = asyncio.run(_pairs(addresses, messages, arguments.rate, arguments.seed))
            counters = gateway.status()["counters"]
            assert isinstance(counters, dict)
    return rows[UNMEASURED:], int(counters["predictions"])


def main(argv: Sequence[str] | None = None) -> int:
    arguments = _parser().parse_args(argv)
    try:
        with tempfile.TemporaryDirectory() as folder:
            rows, num_predictions = _measure(arguments, Path(folder))
    except DemoError as error:
        print(f"gateway_overhead: {error}", file=sys.stderr)
        return 1
    print(
        f"{len(rows)} pairs, {arguments.rate:g} per second, engine {ENGINE}, policy {arguments.policy}, "
        f"{num_predictions} predictions, seed {arguments.seed}"
    )
    print(f"{'TTFT in ms':<24}{'p10':>8}{'median':>8}{'p90':>8}{'p99':>8}{'max':>8}{'mean':>8}")
    for name, values in (
        ("directly", rows[:, 0]),
        ("through the gateway", rows[:, 1]),
        ("through a bare proxy", rows[:, 2]),
        ("gateway - direct", rows[:, 1] - rows[:, 0]),
        ("bare proxy - direct", rows[:, 2] - rows[:, 0]),
        ("gateway - bare proxy", rows[:, 1] - rows[:, 2]),
        ("direct again - direct", rows[:, 3] - rows[:, 0]),
    ):
        quantiles = np.quantile(values, [0.1, 0.5, 0.9, 0.99, 1.0]) * 1e3
        cells = "".join(f"{value:>8.2f}" for value in (*quantiles, values.mean() * 1e3))
        print(f"{name:<24}{cells}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--requests", type=int, default=600, help="pairs that count (default: %(default)s)")
    parser.add_argument("--rate", type=float, default=6.0, help="pairs per second (default: %(default)s)")
    parser.add_argument("--warm", type=int, default=300, help="records of history (default: %(default)s)")
    parser.add_argument("--policy", default="gittins-boost", help="default: %(default)s")
    parser.add_argument("--seed", type=int, default=0)
    return parser


if __name__ == "__main__":
    sys.exit(main())

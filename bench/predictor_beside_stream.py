"""What forty predictions a second do to the tokens that a gateway carries meanwhile.

    python bench/predictor_beside_stream.py
    python bench/predictor_beside_stream.py --seconds 30 --rate 40

A real tritonserver (engine `--engine`) streams `--streams` long answers at a time through one gateway, while
`--rate` short requests a second, each with a prompt of its own, come through it as well. The gateway and
its predictor share one core; Triton and the clients have the others. Each round is run without and with the
predictor, in turns, and the gaps between the messages of the long answers are compared.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import grpc
import numpy as np

from sagesched_emulator.answers import write_answers
from sagesched_emulator.dataset import Record
from sagesched_emulator.demo.emulated_triton import EmulatedTriton
from sagesched_emulator.demo.errors import DemoError
from sagesched_emulator.demo.gateway_process import GatewayProcess, Prediction, gateway_config
from sagesched_emulator.demo.warmup import find_encoder
from sagesched_emulator.load import CHANNEL_OPTIONS, STREAM_INFER, LoadRequest, generate_message
from sagesched_emulator.profiles import profile
from sagesched_emulator.trace import draw_trace

MODEL = "ensemble"
LONG_TOKENS = 400
SHORT_TOKENS = 4
# About 128 tokens of the encoder.
WORDS_PER_PROMPT = 100
WORDS = ("river", "write", "list", "number", "city", "short", "explain", "story", "code", "test", "answer")
SETTLE_S = 2.0


def prompts(count: int, seed: int) -> list[str]:
    """Texts of about the same length, none like another."""
    rng = np.random.default_rng(seed)
    return [" ".join(rng.choice(WORDS, size=WORDS_PER_PROMPT)) + f" {number}" for number in range(count)]


@contextmanager
def on_cores(cores: set[int]) -> Iterator[None]:
    """What is started inside runs on these cores."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    yield
    os.sched_setaffinity(0, before)


async def read_to_end(channel: grpc.aio.Channel, message: bytes) -> list[float]:
    """Send one request; instants of its messages."""
    call = channel.stream_stream(STREAM_INFER)()
    await call.write(message)
    await call.done_writing()
    instants = []
    while (answer := await call.read()) is not grpc.aio.EOF:
        if answer[:1] == b"\x0a":
            raise DemoError(f"a request failed: {answer!r}")
        instants.append(time.perf_counter())
    return instants


async def gaps(address: str, texts: Sequence[str], parsed: argparse.Namespace) -> np.ndarray:
    """Seconds between neighbouring messages of the long answers."""
    messages = iter(
        [
            (
                generate_message(
                    LoadRequest(id=f"l{n}", prompt=text, max_tokens=LONG_TOKENS, arrival_s=0), MODEL
                ),
                generate_message(
                    LoadRequest(id=f"s{n}", prompt=text, max_tokens=SHORT_TOKENS, arrival_s=0), MODEL
                ),
            )
            for n, text in enumerate(texts)
        ]
    )
    found: list[float] = []
    ends_at = time.perf_counter() + SETTLE_S + parsed.seconds

    async def long_answers(channel: grpc.aio.Channel) -> None:
        while time.perf_counter() < ends_at:
            instants = np.array(await read_to_end(channel, next(messages)[0]))
            inside = instants[1:] > ends_at - parsed.seconds
            found.extend(np.diff(instants)[inside])

    async with grpc.aio.insecure_channel(address, options=CHANNEL_OPTIONS) as channel:
        streams = [asyncio.create_task(long_answers(channel)) for _ in range(parsed.streams)]
        short = set()
        due = time.perf_counter()
        while due < ends_at:
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            short.add(asyncio.create_task(read_to_end(channel, next(messages)[1])))
            due += 1 / parsed.rate
        await asyncio.gather(*streams, *short)
    return np.array(found)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=20.0, help="measured, of each round")
    parser.add_argument("--rounds", type=int, default=2, help="each without and with the predictor")
    parser.add_argument("--rate", type=float, default=40.0, help="short requests per second")
    parser.add_argument("--streams", type=int, default=8, help="long answers at a time")
    parser.add_argument("--engine", default="h100-8b")
    parsed = parser.parse_args(arguments)
    cores = sorted(os.sched_getaffinity(0))
    ours, others = {cores[0]}, set(cores[1:]) or {cores[0]}
    per_run = round((parsed.seconds + SETTLE_S) * (parsed.rate + 2 * parsed.streams)) + 50
    texts = prompts(per_run, 0)
    records = [
        Record(prompt=text, prompt_tokens=WORDS_PER_PROMPT, output_tokens=LONG_TOKENS, max_tokens=LONG_TOKENS)
        for text in texts
    ]
    all_gaps: dict[bool, list[np.ndarray]] = {False: [], True: []}
    try:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            trace = draw_trace(
                records, profile=profile(parsed.engine), rho=0.1, num_requests=len(records), seed=0
            )
            answers = folder / "answers.jsonl"
            write_answers(answers, trace)
            triton = EmulatedTriton(
                profile=parsed.engine,
                time_scale=1.0,
                stream_interval=1,
                answers=answers,
                model=MODEL,
                folder=folder,
            )
            encoder = find_encoder()
            with on_cores(others), triton:
                for round_ in range(2 * parsed.rounds):
                    is_on = round_ % 2 == 1
                    prediction = Prediction(encoder=encoder, enabled=is_on)
                    config = gateway_config(triton.addresses, "gittins-boost", prediction)
                    with on_cores(ours):
                        process = GatewayProcess(config, folder, f"round-{round_}")
                        process.__enter__()
                    try:
                        all_gaps[is_on].append(asyncio.run(gaps(process.grpc_address, texts, parsed)))
                        counters = process.status()["counters"]
                    finally:
                        process.__exit__(None, None, None)
                    made = counters.get("predictions", 0) if isinstance(counters, dict) else 0
                    print(_line(f"round {round_}, {made} predictions", all_gaps[is_on][-1]), flush=True)
    except DemoError as error:
        print(f"predictor_beside_stream: {error}", file=sys.stderr)
        return 1
    without, with_ = (np.concatenate(all_gaps[is_on]) for is_on in (False, True))
    print(_line("without the predictor", without))
    print(_line("with the predictor", with_))
    print(f"p99 with / without: {np.quantile(with_, 0.99) / np.quantile(without, 0.99):.2f}")
    return 0


def _line(name: str, values: np.ndarray) -> str:
    cells = " ".join(f"p{100 * q:g} {1e3 * np.quantile(values, q):.1f}" for q in (0.5, 0.9, 0.99, 0.999))
    return f"{name:34s} {len(values)} gaps, ms: {cells}"


if __name__ == "__main__":
    sys.exit(main())

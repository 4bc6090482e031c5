"""What the gateway costs for every token and every request, in CPU, beside a proxy that reads nothing.

    python bench/per_message.py --rounds 5

A real tritonserver with the `instant` engine streams every token. The same traffic (so many streams at a
time, answers of several lengths) goes through the gateway, through a bare grpc.aio proxy (`bare_proxy.py`)
and through Envoy, one after the other in an order drawn anew for each round. CPU is user + system time of the
one process, from `/proc/PID/stat`; prediction, a process of its own, is off.

Each process is first measured at rest (the gateway looks after Triton, its settings and itself now and then);
that rate is given apart and taken off the runs. What is left is split by least squares over all runs:
CPU = requests * A + messages * B. The ratio that counts is B of the gateway over B of the bare proxy; it is
also given round by round, since the machine's mood moves both.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import grpc
import numpy as np
from bare_proxy import BareProxy
from envoy_proxy import EnvoyProxy

from sagesched_emulator.answers import write_answers
from sagesched_emulator.demo.emulated_triton import EmulatedTriton
from sagesched_emulator.demo.errors import DemoError
from sagesched_emulator.demo.gateway_process import GatewayProcess, Prediction, gateway_config
from sagesched_emulator.load import (
    CHANNEL_OPTIONS,
    ERROR_FIELD,
    STREAM_INFER,
    LoadRequest,
    generate_message,
)
from sagesched_emulator.trace import TraceRequest

MODEL = "ensemble"
ENGINE = "instant"
GATEWAY, BARE, ENVOY = "gateway", "bare proxy", "envoy"
TICKS_PER_S = os.sysconf("SC_CLK_TCK")
REST_S = 10.0
MOST_RATIO, MOST_REQUEST_MS = 1.3, 4.0


@dataclass(frozen=True, slots=True)
class Way:
    """A process between client and Triton."""

    name: str
    address: str
    pid: int

    def cpu_s(self) -> float:
        """User and system time of the process so far, its children apart."""
        fields = Path(f"/proc/{self.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS_PER_S


@dataclass(frozen=True, slots=True)
class Run:
    """One way's traffic with one length of answer; CPU above that at rest."""

    way: str
    round: int
    requests: int
    messages: int
    cpu_s: float


@dataclass(frozen=True, slots=True)
class Measured:
    """All runs, and the CPU of each way at rest, seconds per second."""

    runs: list[Run]
    at_rest: dict[str, float]


def prompt_of(tokens: int) -> str:
    """The prompt whose answer has so many tokens."""
    return f"Answer with {tokens} words."


async def send(address: str, message: bytes, *, requests: int, streams: int) -> int:
    """Send equal requests, `streams` at a time; returns how many messages came back."""
    left = iter(range(requests))
    num_messages = 0

    async def one_after_another(channel: grpc.aio.Channel) -> None:
        nonlocal num_messages
        for _ in left:
            call = channel.stream_stream(STREAM_INFER)()
            await call.write(message)
            await call.done_writing()
            while (answer := await call.read()) is not grpc.aio.EOF:
                if answer.startswith(ERROR_FIELD):
                    raise DemoError(f"a request failed: {answer!r}")
                num_messages += 1

    async with grpc.aio.insecure_channel(address, options=CHANNEL_OPTIONS) as channel:
        await asyncio.gather(*(one_after_another(channel) for _ in range(streams)))
    return num_messages


def _at_rest(ways: Sequence[Way]) -> dict[str, float]:
    before_s = [way.cpu_s() for way in ways]
    time.sleep(REST_S)
    return {way.name: (way.cpu_s() - before) / REST_S for way, before in zip(ways, before_s, strict=True)}


def _run(way: Way, number: int, tokens: int, at_rest: float, arguments: argparse.Namespace) -> Run:
    request = LoadRequest(id="r", prompt=prompt_of(tokens), max_tokens=4096, arrival_s=0.0)
    requests = max(arguments.streams, arguments.messages // tokens)
    before_s, began_at = way.cpu_s(), time.monotonic()
    messages = asyncio.run(
        send(way.address, generate_message(request, MODEL), requests=requests, streams=arguments.streams)
    )
    cpu_s = way.cpu_s() - before_s - at_rest * (time.monotonic() - began_at)
    if messages < requests * tokens:
        raise DemoError(f"{messages} messages through the {way.name} instead of {requests * tokens}")
    return Run(way.name, number, requests, messages, cpu_s)


def fit(runs: Sequence[Run]) -> tuple[float, float]:
    """CPU milliseconds per request and microseconds per message."""
    work = np.array([[run.requests, run.messages] for run in runs], dtype=float)
    cpu_s = np.array([run.cpu_s for run in runs])
    (per_request_s, per_message_s), *_ = np.linalg.lstsq(work, cpu_s, rcond=None)
    return float(per_request_s) * 1e3, float(per_message_s) * 1e6


def _measure(arguments: argparse.Namespace, folder: Path) -> Measured:
    answers = folder / "answers.jsonl"
    write_answers(
        answers,
        [
            TraceRequest(
                id=str(tokens),
                prompt=prompt_of(tokens),
                prompt_tokens=5,
                max_tokens=4096,
                arrival_s=0.0,
                output_tokens=tokens,
            )
            for tokens in arguments.tokens
        ],
    )
    triton = EmulatedTriton(
        profile=ENGINE, time_scale=1.0, stream_interval=1, answers=answers, model=MODEL, folder=folder
    )
    rng = np.random.default_rng(arguments.seed)
    with ExitStack() as stack:
        stack.enter_context(triton)
        upstream = triton.addresses
        config = gateway_config(upstream, arguments.policy, Prediction(enabled=False))
        gateway = stack.enter_context(GatewayProcess(config, folder, "measured"))
        bare = stack.enter_context(BareProxy(upstream.grpc))
        ways = [
            Way(GATEWAY, gateway.grpc_address, gateway.pid),
            Way(BARE, bare.grpc_address, bare.pid),
        ]
        if not arguments.no_envoy:
            envoy = stack.enter_context(EnvoyProxy(upstream.grpc))
            ways.append(Way(ENVOY, envoy.grpc_address, envoy.pid))
        for way in ways:
            _run(way, -1, min(arguments.tokens), 0.0, arguments)
        at_rest = _at_rest(ways)
        runs = [
            _run(ways[place], number, tokens, at_rest[ways[place].name], arguments)
            for number in range(arguments.rounds)
            for tokens in rng.permutation(arguments.tokens)
            for place in rng.permutation(len(ways))
        ]
    return Measured(runs, at_rest)


def main(argv: Sequence[str] | None = None) -> int:
    arguments = _parser().parse_args(argv)
    try:
        with tempfile.TemporaryDirectory() as folder:
            measured = _measure(arguments, Path(folder))
    except DemoError as error:
        print(f"per_message: {error}", file=sys.stderr)
        return 1
    runs = measured.runs
    print(
        f"{arguments.rounds} rounds, {arguments.streams} streams at a time, answers of "
        f"{', '.join(map(str, arguments.tokens))} tokens, engine {ENGINE}, policy {arguments.policy}, "
        f"seed {arguments.seed}"
    )
    print(
        f"{'CPU of the process':<20}{'requests':>10}{'messages':>10}"
        f"{'ms/s at rest':>14}{'ms/request':>12}{'us/message':>12}"
    )
    fitted = {}
    for name in dict.fromkeys(run.way for run in runs):
        of_way = [run for run in runs if run.way == name]
        per_request_ms, per_message_us = fitted[name] = fit(of_way)
        print(
            f"{name:<20}{sum(run.requests for run in of_way):>10}{sum(run.messages for run in of_way):>10}"
            f"{measured.at_rest[name] * 1e3:>14.1f}{per_request_ms:>12.2f}{per_message_us:>12.1f}"
        )
    ratios = [
        fit([run for run in runs if run.way == GATEWAY and run.round == number])[1]
        / fit([run for run in runs if run.way == BARE and run.round == number])[1]
        for number in range(arguments.rounds)
    ]
    ratio = fitted[GATEWAY][1] / fitted[BARE][1]
    print(
        f"per message, gateway / bare proxy: {ratio:.2f} (by round: median {median(ratios):.2f}, "
        f"{min(ratios):.2f} to {max(ratios):.2f}); at most {MOST_RATIO:g} wanted"
    )
    print(f"per request, gateway: {fitted[GATEWAY][0]:.2f} ms; at most {MOST_REQUEST_MS:g} ms wanted")
    return 0 if ratio <= MOST_RATIO and fitted[GATEWAY][0] <= MOST_REQUEST_MS else 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--streams", type=int, default=48, help="at a time (default: %(default)s)")
    parser.add_argument("--messages", type=int, default=8000, help="per run, about (default: %(default)s)")
    parser.add_argument(
        "--tokens",
        type=int,
        nargs="+",
        default=[8, 64, 256],
        help="lengths of answers (default: %(default)s)",
    )
    parser.add_argument("--policy", default="gittins-boost", help="default: %(default)s")
    parser.add_argument("--no-envoy", action="store_true", help="leave Envoy out")
    parser.add_argument("--seed", type=int, default=0)
    return parser


if __name__ == "__main__":
    sys.exit(main())

"""Connections that age: does a new replica get its share, and is anything lost on the way?

    python bench/connection_age.py --age 5 --clients 24

Two gateways before one real tritonserver, behind one address as a ClusterIP is one: each new TCP connection
goes to a replica drawn at random (what kube-proxy does), and stays there. Stock gRPC clients, each with one
channel, stream one request after the other, without any retry of their own. The second replica joins after
one age; its share of the requests then sent is printed over time, as is how many requests did not come back
whole and how old connections became. First without an age, as the control.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import random
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import numpy as np

from sagesched_emulator.demo.errors import DemoError
from sagesched_emulator.demo.gateway_process import (
    GatewayProcess,
    Prediction,
    TritonAddresses,
    gateway_config,
)
from sagesched_emulator.load import CHANNEL_OPTIONS, STREAM_INFER, LoadRequest, generate_message
from sagesched_emulator.triton_server import TritonServer, TritonServerError

MODEL = "ensemble"
ENGINE = "slot-bound"
TIME_SCALE = 0.2
MAX_TOKENS = 30
AGES_AFTER = 4
"""How long is looked on after the second replica joined, in ages."""


class Service:
    """One address in front of replicas: a new connection goes to one of them, drawn at random.

    Attributes:
        replicas: `host:port` of each; may grow.
        ages_s: per connection that ended, how long it lived.
        opened: connections opened to each replica.
    """

    def __init__(self, replicas: Sequence[str], seed: int) -> None:
        self.replicas = list(replicas)
        self.ages_s: list[float] = []
        self.opened: dict[str, int] = dict.fromkeys(replicas, 0)
        self._random = random.Random(seed)

    async def __aenter__(self) -> Service:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.address = f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        replica = self._random.choice(self.replicas)
        self.opened[replica] = self.opened.get(replica, 0) + 1
        began_at = time.monotonic()
        host, _, port = replica.rpartition(":")
        behind_reader, behind_writer = await asyncio.open_connection(host, int(port))
        try:
            # The run's end cancels what is still open.
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.gather(_copy(reader, behind_writer), _copy(behind_reader, writer))
        finally:
            self.ages_s.append(time.monotonic() - began_at)
            writer.close()
            behind_writer.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.write_eof()


@dataclass(slots=True)
class Seen:
    """What the clients saw.

    Attributes:
        whole: requests that came back to their end.
        broken: how the others failed.
    """

    whole: int = 0
    broken: list[str] = field(default_factory=list)


async def _client(address: str, number: int, until: float, seen: Seen) -> None:
    """One channel, one request after the other."""
    options = (*CHANNEL_OPTIONS, ("grpc.use_local_subchannel_pool", 1), ("grpc.enable_retries", 0))
    async with grpc.aio.insecure_channel(address, options=options) as channel:
        count = 0
        while time.monotonic() < until:
            count += 1
            request = LoadRequest(
                id=f"{number}-{count}", prompt=f"{number}/{count}", max_tokens=MAX_TOKENS, arrival_s=0.0
            )
            call = channel.stream_stream(STREAM_INFER)()
            try:
                await call.write(generate_message(request, MODEL))
                await call.done_writing()
                last = b""
                while (message := await call.read()) is not grpc.aio.EOF:
                    last = message
            except (grpc.aio.AioRpcError, asyncio.InvalidStateError) as error:
                seen.broken.append(str(error))
                continue
            if not last or last[:1] == b"\x0a":
                seen.broken.append(repr(last))
            else:
                seen.whole += 1


def _received(gateway: GatewayProcess) -> int:
    counters = gateway.status()["counters"]
    assert isinstance(counters, dict)
    return int(counters.get("received", 0))


async def _watch_shares(
    gateways: Sequence[GatewayProcess], each_s: float, until: float
) -> list[tuple[float, float]]:
    """(seconds since now, share of the second replica since the last look)."""
    began_at = time.monotonic()
    rows = []
    before = [await asyncio.to_thread(_received, gateway) for gateway in gateways]
    while time.monotonic() + each_s <= until:
        await asyncio.sleep(each_s)
        now = [await asyncio.to_thread(_received, gateway) for gateway in gateways]
        first, second = (new - old for new, old in zip(now, before, strict=True))
        rows.append((time.monotonic() - began_at, second / max(first + second, 1)))
        before = now
    return rows


async def _run(gateways: Sequence[GatewayProcess], arguments: argparse.Namespace) -> None:
    age = arguments.age
    seen = Seen()
    async with Service([gateways[0].grpc_address], arguments.seed) as service:
        joins_at = time.monotonic() + age
        until = joins_at + AGES_AFTER * age
        async with asyncio.TaskGroup() as group:
            for number in range(arguments.clients):
                group.create_task(_client(service.address, number, until, seen))
            await asyncio.sleep(joins_at - time.monotonic())
            service.replicas.append(gateways[1].grpc_address)
            rows = await _watch_shares(gateways, age / 2, until)
            ages_s = list(service.ages_s)  # before the clients end their own
    shares = "  ".join(f"{at / age:.1f} ages: {share:4.0%}" for at, share in rows)
    print(f"  share of the second replica after it joined: {shares}")
    print(f"  requests: {seen.whole} whole, {len(seen.broken)} broken")
    for problem in seen.broken[:3]:
        print(f"    {problem}")
    if ages_s:
        low, median, high = np.quantile(ages_s, [0, 0.5, 1]) / age
        print(f"  {len(ages_s)} connections ended at {low:.2f} to {high:.2f} of the age, median {median:.2f}")


def _config(triton: TritonServer, age_s: float) -> dict[str, object]:
    addresses = TritonAddresses(
        grpc=triton.grpc_address, http=triton.http_address, metrics=triton.metrics_address
    )
    config = gateway_config(addresses, "fcfs", Prediction(enabled=False))
    listen = config["listen"]
    assert isinstance(listen, dict)
    return config | {
        "listen": listen | {"connectionAgeSeconds": age_s},
        "engine": {"slots": 32},
        "drain": {"maxSeconds": 30},
    }


def main(argv: Sequence[str] | None = None) -> int:
    arguments = _parser().parse_args(argv)
    try:
        with TritonServer(ENGINE, time_scale=TIME_SCALE) as triton, tempfile.TemporaryDirectory() as folder:
            for age_s in (0.0, arguments.age):
                name = f"connectionAgeSeconds {age_s:g}"
                print(f"{name}, {arguments.clients} clients, seed {arguments.seed}")
                with contextlib.ExitStack() as stack:
                    gateways = [
                        stack.enter_context(
                            GatewayProcess(_config(triton, age_s), Path(folder), f"{number}-{age_s:g}")
                        )
                        for number in (1, 2)
                    ]
                    asyncio.run(_run(gateways, arguments))
    except (DemoError, TritonServerError) as error:
        print(f"connection_age: {error}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--age", type=float, default=5.0, help="seconds (default: %(default)s)")
    parser.add_argument("--clients", type=int, default=24, help="default: %(default)s")
    parser.add_argument("--seed", type=int, default=0)
    return parser


if __name__ == "__main__":
    sys.exit(main())

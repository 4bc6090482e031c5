"""Gateways that only tell how they are: `/status` at many addresses of loopback, each as a pod has it.

    python bench/standing_gateways.py digests.txt

The file holds the digest of each one's settings in a line. Every address 127.1.0.0 and on has a listener of
its own on the port of a pod's metrics. Reports are of the gateway's own schema, and their fast figures are
other ones each time; none is worth a word in a pool's status. Prints one line when all listen, and serves
until its input ends.
"""

from __future__ import annotations

import argparse
import asyncio
import ipaddress
import random
import sys
from collections.abc import Sequence
from pathlib import Path

from aiohttp import web

from sagesched_gateway.status import (
    ConfigStatus,
    DrainStatus,
    EngineStatus,
    GatewayStatus,
    PredictorStatus,
    QueueStatus,
    to_mapping,
)
from sagesched_operator.build.paths import METRICS

_FIRST = ipaddress.IPv4Address("127.1.0.0")
SLOTS = 64


def address(number: int) -> str:
    """Of one gateway."""
    return str(_FIRST + number)


def report(digest: str, chance: random.Random) -> GatewayStatus:
    """Of a gateway with work in its engine and a short queue."""
    in_flight, queued = chance.randrange(20, SLOTS), chance.randrange(4)
    backlog_s = 0.5 * queued
    return GatewayStatus(
        ready=True,
        policy="gittins-boost",
        configured_policy="gittins-boost",
        config_digest=digest,
        config=ConfigStatus(file_digest=digest),
        queue=QueueStatus(
            queued=queued,
            queued_bytes=900 * queued,
            in_flight=in_flight,
            backlog_s=backlog_s,
            backlog_p50_s=backlog_s,
            backlog_p90_s=1.5 * backlog_s,
            oldest_wait_s=chance.random() if queued else 0.0,
            gamma=0.1,
        ),
        engine=EngineStatus(slots=SLOTS, kv_blocks=8000, kv_blocks_reserved=60 * in_flight, iteration_s=0.02),
        predictor=PredictorStatus(
            mode="Shipped",
            state="ready",
            provider="CPUExecutionProvider",
            history=10_000,
            coverage_50=0.5,
            coverage_80=0.8,
            coverage_90=0.9,
            concordance=round(chance.uniform(0.5, 0.6), 3),
        ),
        drain=DrainStatus(in_flight_s=20.0, all_s=20.0 + backlog_s, max_s=300.0, budget_s=300.0),
        counters={"requests": chance.randrange(1_000_000), "tokens": chance.randrange(1_000_000_000)},
        versions={"gateway": "0.1.0", "triton": "2.60.0"},
    )


async def _serve(digests: Sequence[str]) -> None:
    chance = random.Random(0)

    async def status(request: web.Request) -> web.Response:
        number = int(ipaddress.IPv4Address(request.url.host or "")) - int(_FIRST)
        return web.json_response(to_mapping(report(digests[number], chance)))

    app = web.Application()
    app.router.add_get("/status", status)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    for number in range(len(digests)):
        await web.TCPSite(runner, address(number), METRICS).start()
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await runner.cleanup()


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until the input ends."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("digests", type=Path, help="file with a line for each gateway")
    options = parser.parse_args(arguments)
    asyncio.run(_serve(options.digests.read_text().split()))
    return 0


if __name__ == "__main__":
    sys.exit(main())

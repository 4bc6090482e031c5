"""Serve until told to end.

SIGTERM (or SIGINT) drains: readiness goes, new requests are refused, what is queued and running is finished;
a second signal ends at once. SIGHUP reads the settings file again. SIGUSR1 drains and stays (`pod.farewell`).
"""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import signal
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from sagesched_gateway.gateway import Gateway
from sagesched_gateway.pod.farewell import Farewell
from sagesched_gateway.settings.config import GatewayConfig

_LOG = logging.getLogger(__name__)


_LAST_WORDS_S = 1.0
"""What clients had sent before they heard that they should leave is still taken."""

_LOOK_EACH_S = 0.2

_NO_FAREWELL = Farewell()


async def serve(
    config: GatewayConfig, config_file: Path | None = None, farewell: Farewell = _NO_FAREWELL
) -> int:
    """Run a gateway until a signal ends it; prints its addresses as one JSON line when it listens.

    Args:
        config: the settings.
        config_file: where they came from, followed for changes; read again at once on SIGHUP.
        farewell: what SIGUSR1 does.

    Returns:
        The exit code: 0 after a drain, 1 where a second signal cut it short.

    Raises:
        StartError: it cannot start.
    """
    loop = asyncio.get_running_loop()
    farewell.forget()
    gateway = Gateway(config, config_file)
    leaving: list[asyncio.Task[None]] = []
    told_once, told_twice = asyncio.Event(), asyncio.Event()

    def on_signal() -> None:
        (told_twice if told_once.is_set() else told_once).set()

    def on_farewell() -> None:
        if not leaving:
            leaving.append(asyncio.create_task(_leave(gateway, farewell)))

    try:
        await gateway.start()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, on_signal)
        if gateway.reloader is not None:
            loop.add_signal_handler(signal.SIGHUP, gateway.reloader.ask)
        loop.add_signal_handler(signal.SIGUSR1, on_farewell)
        _spare_the_collector()
        print(json.dumps(asdict(gateway.addresses)), flush=True)
        await told_once.wait()
        _LOG.info("draining; a second signal ends at once")
        drain = asyncio.create_task(gateway.drain())
        hurry = asyncio.create_task(told_twice.wait())
        await asyncio.wait({drain, hurry}, return_when=asyncio.FIRST_COMPLETED)
        is_drained = drain.done()
        for task in (drain, hurry, *leaving):
            await _cancelled(task)
    finally:
        if not told_twice.is_set():
            await gateway.close()
    return 0 if is_drained else 1


async def _leave(gateway: Gateway, farewell: Farewell) -> None:
    _LOG.info(
        "the pod goes: taking requests for %.0f s more, and while clients go, then draining",
        farewell.settle_s,
    )
    gateway.show_leaving()
    await asyncio.sleep(farewell.settle_s)
    await _until_alone(gateway, farewell.parting_s)
    gateway.part()
    await asyncio.sleep(_LAST_WORDS_S)
    await gateway.drain()
    _LOG.info("drained; waiting to be ended")
    farewell.tell()


async def _until_alone(gateway: Gateway, longest_s: float) -> None:
    ends_at = time.monotonic() + longest_s
    while gateway.num_connected() and time.monotonic() < ends_at:  # noqa: ASYNC110 - the kernel calls nobody
        await asyncio.sleep(_LOOK_EACH_S)


def _spare_the_collector() -> None:
    """Keep the garbage collector away from what lives for ever: its full passes would hold up tokens."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


async def _cancelled(task: asyncio.Task[Any]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)

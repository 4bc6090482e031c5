"""`kept_up`: work in the background that must not end without a word."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

_LOG = logging.getLogger(__name__)

PAUSE_S = 1.0


async def kept_up(name: str, run: Callable[[], Awaitable[None]], pause_s: float = PAUSE_S) -> None:
    """Run what is to run for ever; where it fails all the same, it is logged and begun again after a pause.

    Nobody waits for such work, so a failure would show as readiness, settings or certificates that stand
    still, hours later. To end the process for it would end requests that go on well.
    """
    while True:
        try:
            await run()
        except Exception:
            _LOG.exception("%s failed; it is begun again in %g s", name, pause_s)
        await asyncio.sleep(pause_s)

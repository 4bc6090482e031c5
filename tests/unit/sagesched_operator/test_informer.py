"""One list and one watch per kind, with few requests."""

from __future__ import annotations

import asyncio

from sagesched_operator.cluster.cache import Cache
from sagesched_operator.cluster.informer import Informer
from sagesched_operator.cluster.kinds import DEPLOYMENT


async def test_watches_that_end_at_once_are_not_begun_at_once_again():
    num_watches = 0

    class Hasty:
        async def list(self, *_):
            return [], "1"

        async def watch(self, *_, **__):
            nonlocal num_watches
            num_watches += 1
            await asyncio.sleep(0)
            for nothing in ():
                yield nothing

    informer = Informer(Hasty(), DEPLOYMENT, None, "", Cache(lambda *_: None))
    following = asyncio.create_task(informer.run())
    await asyncio.sleep(0.4)
    assert informer.is_synced.is_set()
    assert num_watches <= 2
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)

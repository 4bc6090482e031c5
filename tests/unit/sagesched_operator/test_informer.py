"""One list and one watch per kind, with few requests."""

from __future__ import annotations

import asyncio

from sagesched_operator.cluster.cache import Cache
from sagesched_operator.cluster.informer import Informer
from sagesched_operator.cluster.kinds import DEPLOYMENT
from sagesched_operator.names import POOL_LABEL


async def test_watches_that_end_at_once_are_not_begun_at_once_again():
    num_watches = 0

    class Hasty:
        async def pages(self, *_):
            yield {"items": [], "metadata": {"resourceVersion": "1"}}

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


async def test_a_listing_of_many_pages_is_taken_page_by_page():
    """All of it at once, as mappings, is many times what is kept."""
    cache, met = Cache(lambda *_: None), []

    def an_object(name):
        labels = {POOL_LABEL: "p"}
        return {
            "metadata": {
                "namespace": "n",
                "name": name,
                "uid": name,
                "resourceVersion": "1",
                "labels": labels,
            }
        }

    class Paged:
        async def pages(self, *_):
            for name in ("a", "b"):
                yield {"items": [an_object(name)], "metadata": {"resourceVersion": "7"}}
                met.append(len(cache))

        async def watch(self, kind, namespace, selector, version, **_):
            met.append(version)
            await asyncio.Event().wait()
            yield

    cache.put(an_object("gone"))
    following = asyncio.create_task(Informer(Paged(), DEPLOYMENT, None, "", cache).run())
    await asyncio.sleep(0.05)
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)
    assert met == [2, 3, "7"]
    assert {seen.name for seen in cache.of(("n", "p"))} == {"a", "b"}

"""Which kinds the API server has, and where we may look."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from sagesched_operator.cluster.client import Api
from sagesched_operator.cluster.errors import ApiError
from sagesched_operator.cluster.informer import backoff
from sagesched_operator.cluster.kinds import Kind

_LOG = logging.getLogger(__name__)

_LOOK_AGAIN_S = 2.0


async def served(api: Api, group: str) -> set[str]:
    """Plurals of the kinds of a group, `group/version`; asked until there is an answer."""
    failures = 0
    while True:
        try:
            listed = await api.get(f"/apis/{group}")
            return {resource["name"] for resource in listed["resources"]}
        except ApiError as error:
            if error.code in (403, 404):
                return set()
            failures += 1
            await asyncio.sleep(error.retry_after_s or backoff(failures))


async def until_served(api: Api, kind: Kind) -> None:
    """Wait for a kind whose definition may come later than we do."""
    is_told = False
    while kind.plural not in await served(api, kind.api_version):
        if not is_told:
            _LOG.warning("%s is not installed; waiting for its CustomResourceDefinition", kind.id)
            is_told = True
        await asyncio.sleep(_LOOK_AGAIN_S)


async def may_list(api: Api, kind: Kind, namespaces: Sequence[str]) -> list[bool | None]:
    """Whether we have the right, by namespace; None where that cannot be told now."""

    async def ask(namespace: str) -> bool | None:
        try:
            await api.find(kind, namespace, "any")
        except ApiError as error:
            return {403: False, 404: True}.get(error.code)  # 404: there is no such kind yet
        return True

    return await asyncio.gather(*map(ask, namespaces))

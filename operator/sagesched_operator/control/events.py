"""`Events`: what a pool's conditions say, as Kubernetes events, once per change worth telling."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from sagesched_operator.cluster.client import Api
from sagesched_operator.cluster.errors import ApiError
from sagesched_operator.cluster.kinds import EVENT
from sagesched_operator.names import FIELD_MANAGER

_LOG = logging.getLogger(__name__)

_WARNINGS = ("Degraded", "Stalled", "SchedulingDegraded", "BacklogSaturated")
"""Conditions that are told when they become true."""


class Events:
    """Posts events; one that cannot be posted is not worth failing for."""

    def __init__(self, api: Api) -> None:
        """Post by `api`."""
        self._api = api

    async def tell(
        self,
        pool: Mapping[str, Any],
        before: Iterable[Mapping[str, Any]],
        after: Iterable[Mapping[str, Any]],
    ) -> None:
        """Tell what changed between two lists of conditions."""
        for kind, reason, message in notable(before, after):
            _LOG.info("%s/%s: %s: %s", *_names(pool), reason, message)
            try:
                await self._api.create(
                    EVENT, pool["metadata"]["namespace"], _event(pool, kind, reason, message)
                )
            except ApiError as error:
                _LOG.warning("event %s not posted: %s", reason, error)


def notable(
    before: Iterable[Mapping[str, Any]], after: Iterable[Mapping[str, Any]]
) -> Iterator[tuple[str, str, str]]:
    """(type, reason, message) of changes worth an event."""
    old = {condition["type"]: (condition["status"], condition["reason"]) for condition in before}
    for condition in after:
        type_, now = condition["type"], (condition["status"], condition["reason"])
        if old.get(type_) == now:
            continue
        if (now[0] == "True" and type_ in _WARNINGS) or (
            type_ == "PredictorCalibrated" and now[0] == "False"
        ):
            yield "Warning", now[1], condition["message"]
        elif type_ == "Ready" and now[0] == "True":
            yield "Normal", now[1], condition["message"]


def _names(pool: Mapping[str, Any]) -> tuple[str, str]:
    return pool["metadata"]["namespace"], pool["metadata"]["name"]


def _event(pool: Mapping[str, Any], kind: str, reason: str, message: str) -> dict[str, Any]:
    metadata = pool["metadata"]
    now = datetime.now(UTC)
    stamp = now.strftime("%Y-%m-%dT%H:%M:%SZ")
    unique = hashlib.sha256(f"{metadata['uid']}{reason}{now.isoformat()}".encode()).hexdigest()[:16]
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": f"{metadata['name']}.{unique}", "namespace": metadata["namespace"]},
        "involvedObject": {
            "apiVersion": pool["apiVersion"],
            "kind": pool["kind"],
            "name": metadata["name"],
            "namespace": metadata["namespace"],
            "uid": metadata["uid"],
        },
        "type": kind,
        "reason": reason,
        "message": message or reason,
        "source": {"component": FIELD_MANAGER},
        "firstTimestamp": stamp,
        "lastTimestamp": stamp,
        "count": 1,
    }

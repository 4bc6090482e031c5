"""What kopf is told when it is started."""

from __future__ import annotations

import asyncio
import getpass
from typing import Any

import kopf
import pytest
from kopf._core.engines import peering

from sagesched_operator.control.store import PoolStore
from sagesched_operator.handlers import watch_pools


async def test_a_user_that_is_only_a_number_is_no_obstacle(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in the operator's own image, where kopf's choice of an identity asks for a name that is not there."""

    def no_name() -> str:
        raise KeyError("getpwuid(): uid not found: 1000")

    async def starts(*, identity: str | None = None, **_: Any) -> None:
        told.append(identity if identity is not None else peering.detect_own_id(manual=False))

    told: list[str] = []
    monkeypatch.setattr(getpass, "getuser", no_name)
    monkeypatch.setattr(kopf, "operator", starts)
    stop, ready = asyncio.Event(), asyncio.Event()
    await watch_pools(PoolStore(lambda key: None), None, (), identity="pod-a_1", stop=stop, ready=ready)
    assert told == ["pod-a_1"]

"""Work in the background that fails: it is told, and goes on."""

from __future__ import annotations

import asyncio

import pytest

from sagesched_gateway.api.sweeper import Sweeper
from sagesched_gateway.gateway import Gateway
from sagesched_gateway.settings.config import parse_config
from sagesched_gateway.upkeep import kept_up

NOWHERE = "127.0.0.1:1"


async def test_what_fails_is_logged_and_begun_again_after_a_pause(caplog):
    begun = asyncio.Semaphore(0)

    async def work() -> None:
        begun.release()
        raise KeyError("unexpected")

    task = asyncio.create_task(kept_up("the watch", work, pause_s=0.01))
    for _ in range(3):
        await asyncio.wait_for(begun.acquire(), 5.0)
    assert "the watch failed; it is begun again in 0.01 s" in caplog.messages
    assert "unexpected" in caplog.text
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_gateways_work_in_the_background_goes_on_after_a_failure(monkeypatch, caplog):
    begun = asyncio.Semaphore(0)

    async def fails(_: Sweeper) -> None:
        begun.release()
        raise KeyError("unexpected")

    monkeypatch.setattr(Sweeper, "run", fails)
    addresses = {"grpc": "127.0.0.1:0", "http": "127.0.0.1:0", "metrics": "127.0.0.1:0"}
    triton = dict.fromkeys(addresses, NOWHERE)
    gateway = Gateway(parse_config({"listen": addresses, "triton": triton, "predictor": {"mode": "None"}}))
    try:
        await gateway.start()
        for _ in range(2):
            await asyncio.wait_for(begun.acquire(), 5.0)
    finally:
        await gateway.close()
    assert [record for record in caplog.records if "the look at what stays open failed" in record.message]

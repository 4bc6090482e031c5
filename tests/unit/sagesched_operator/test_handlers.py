"""How kopf is started."""

import asyncio
import getpass
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from sagesched_operator.control.store import PoolStore
from sagesched_operator.handlers import watch_pools


async def nothing() -> None:
    """To be done at the beginning, or at the end."""


@pytest.fixture
def kubeconfig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Of a server that is not there."""
    file = tmp_path / "config"
    file.write_text(
        "{apiVersion: v1, kind: Config, current-context: c, users: [{name: u, user: {}}],"
        " contexts: [{name: c, context: {cluster: c, user: u}}],"
        " clusters: [{name: c, cluster: {server: 'https://127.0.0.1:1'}}]}"
    )
    monkeypatch.setenv("KUBECONFIG", str(file))
    return file


async def watch_once(kubeconfig: Path, end: Callable[[], Awaitable[None]] = nothing) -> None:
    """Told to stop before it begins."""
    stop = asyncio.Event()
    stop.set()
    await watch_pools(
        PoolStore(lambda *_: None),
        kubeconfig,
        (),
        identity="operator-1",
        stop=stop,
        ready=asyncio.Event(),
        begin=nothing,
        end=end,
    )


async def test_the_user_of_a_container_needs_no_name(
    kubeconfig: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """User 1000 is in no image's list of users, and getpass then raises a KeyError."""

    def nobody() -> str:
        raise KeyError("getpwuid(): uid not found: 1000")

    monkeypatch.setattr(getpass, "getuser", nobody)
    monkeypatch.delenv("POD_ID", raising=False)
    async with asyncio.timeout(10):
        await watch_once(kubeconfig)


async def test_what_works_besides_is_ended_before_kopf_waits_for_it(kubeconfig: Path) -> None:
    """It takes every task of the loop for its own, and gives each five seconds."""
    is_ended = asyncio.Event()

    async def end() -> None:
        is_ended.set()

    watching = asyncio.create_task(watch_once(kubeconfig, end))
    async with asyncio.timeout(3):
        await is_ended.wait()
    watching.cancel()  # it would try for a while yet to reach its server
    await asyncio.gather(watching, return_exceptions=True)

"""How kopf is started."""

import asyncio
import getpass
from pathlib import Path

import pytest

from sagesched_operator.control.store import PoolStore
from sagesched_operator.handlers import watch_pools


async def test_the_user_of_a_container_needs_no_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """User 1000 is in no image's list of users, and getpass then raises a KeyError."""

    def nobody() -> str:
        raise KeyError("getpwuid(): uid not found: 1000")

    monkeypatch.setattr(getpass, "getuser", nobody)
    monkeypatch.delenv("POD_ID", raising=False)
    stop = asyncio.Event()
    stop.set()
    kubeconfig = tmp_path / "config"
    kubeconfig.write_text(
        "{apiVersion: v1, kind: Config, current-context: c, users: [{name: u, user: {}}],"
        " contexts: [{name: c, context: {cluster: c, user: u}}],"
        " clusters: [{name: c, cluster: {server: 'https://127.0.0.1:1'}}]}"
    )
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig))
    async with asyncio.timeout(10):
        await watch_pools(
            PoolStore(lambda *_: None),
            kubeconfig,
            (),
            identity="operator-1",
            stop=stop,
            ready=asyncio.Event(),
        )

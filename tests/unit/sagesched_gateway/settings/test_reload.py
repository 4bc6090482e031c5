"""Following the settings file: swaps as kubelet makes them, edits as people do, and what is refused."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from contextlib import suppress

import pytest

from sagesched_emulator.config_mount import ConfigMount
from sagesched_gateway.settings import reload
from sagesched_gateway.settings.config_file import load_config
from sagesched_gateway.settings.live import LiveSettings
from sagesched_gateway.settings.reload import Reloader

SETTINGS = "predictor: {{mode: None}}\nscheduling:\n  policy: {policy}\n"


@pytest.fixture
def mount(tmp_path):
    return ConfigMount(tmp_path, "gateway.yaml", SETTINGS.format(policy="fcfs"))


class Followed:
    """A reloader at work, and what it did."""

    def __init__(self, file):
        self.settings = LiveSettings(load_config(file))
        self.applied = []
        self.counts = []
        self.reloader = Reloader(file, self.settings, self.apply, self.counts.append)

    def apply(self, config):
        if config.scheduling.tail_weight == 13:
            raise ValueError("unlucky")
        self.applied.append(config.scheduling.policy)

    async def __aenter__(self):
        self._task = asyncio.create_task(self.reloader.run())
        await self.until(lambda: self.counts == ["unchanged"])  # the look at what start-up may have missed
        self.counts.clear()
        return self

    async def __aexit__(self, *_):
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task

    async def until(self, condition):
        async with asyncio.timeout(5):
            while not condition():  # noqa: ASYNC110  # another's state, without an event
                await asyncio.sleep(0.01)


async def test_a_swapped_mount_is_in_effect_within_a_second(mount):
    async with Followed(mount.file) as followed:
        swapped_at = time.monotonic()
        mount.swap(SETTINGS.format(policy="ssjf"))
        await followed.until(lambda: followed.applied)
        assert time.monotonic() - swapped_at < 1.0
        assert followed.applied == ["ssjf"]
        assert followed.settings.config.scheduling.policy == "ssjf"
        assert followed.settings.digest == followed.settings.file_digest
        for policy in ("fcfs", "sagesched"):  # links and folders are replaced each time
            mount.swap(SETTINGS.format(policy=policy))
            await followed.until(lambda policy=policy: followed.applied[-1] == policy)
        assert followed.counts == ["applied"] * 3


async def test_an_edit_in_place_and_a_rename_are_seen(tmp_path):
    file = tmp_path / "gateway.yaml"
    file.write_text(SETTINGS.format(policy="fcfs"))
    async with Followed(file) as followed:
        file.write_text(SETTINGS.format(policy="ssjf"))
        await followed.until(lambda: followed.applied == ["ssjf"])
        (tmp_path / "new").write_text(SETTINGS.format(policy="fcfs"))
        os.rename(tmp_path / "new", file)
        await followed.until(lambda: followed.applied == ["ssjf", "fcfs"])


async def test_a_file_that_is_still_being_written_is_left_alone(mount, monkeypatch):
    monkeypatch.setattr(reload, "LOOK_EACH_S", 0.02)
    async with Followed(mount.file) as followed:
        for _ in range(20):
            with mount.file.open("a") as file:
                file.write("# a comment that grows\n")
            await asyncio.sleep(0.005)
        with mount.file.open("a") as file:
            file.write("drain: {maxSeconds: 7}\n")
        await followed.until(lambda: followed.settings.config.drain.max_s == 7)
        assert len(followed.counts) < 10


async def test_a_change_during_the_start_is_not_lost(mount):
    followed = Followed(mount.file)
    mount.swap(SETTINGS.format(policy="ssjf"))
    task = asyncio.create_task(followed.reloader.run())
    await followed.until(lambda: followed.applied == ["ssjf"])
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_refused_file_changes_nothing_and_is_told_once(mount, caplog):
    async with Followed(mount.file) as followed:
        before = followed.settings.config
        mount.swap(SETTINGS.format(policy="shortest"))
        await followed.until(lambda: followed.counts == ["refused"])
        followed.reloader.ask()
        await followed.until(lambda: followed.counts == ["refused"] * 2)
        assert followed.settings.config is before
        assert not followed.applied
        assert followed.settings.problem.startswith(f"{mount.file}:3: scheduling.policy: unknown policy")
        errors = [record for record in caplog.records if record.levelno == logging.ERROR]
        assert [record.getMessage() for record in errors] == [
            f"settings refused, the old ones stay: {followed.settings.problem}"
        ]
        mount.swap(SETTINGS.format(policy="fcfs"))
        await followed.until(lambda: not followed.settings.problem)
        assert followed.counts == ["refused", "refused", "unchanged"]


async def test_a_file_that_is_gone_is_told_and_its_return_mends_it(tmp_path):
    file = tmp_path / "gateway.yaml"
    file.write_text(SETTINGS.format(policy="fcfs"))
    async with Followed(file) as followed:
        file.unlink()
        await followed.until(lambda: followed.settings.problem)
        assert "cannot be read: No such file" in followed.settings.problem
        file.write_text(SETTINGS.format(policy="ssjf"))
        await followed.until(lambda: followed.applied == ["ssjf"])
        assert not followed.settings.problem


async def test_settings_that_cannot_be_put_into_effect_are_refused(mount):
    async with Followed(mount.file) as followed:
        mount.swap(SETTINGS.format(policy="gittins-boost") + "  tailWeight: 13\n")
        await followed.until(lambda: followed.settings.problem == "unlucky")
        assert followed.settings.config.scheduling.policy == "fcfs"


async def test_what_needs_a_restart_waits_and_is_named_once(mount, caplog):
    more = "triton: {grpc: 'elsewhere:1'}\nlimits: {messageBytes: 4096, queuedRequests: 5}\n"
    async with Followed(mount.file) as followed:
        mount.swap(SETTINGS.format(policy="ssjf") + more)
        await followed.until(lambda: followed.counts == ["applied"])
        settings = followed.settings
        assert settings.waiting == ("triton.grpc", "limits.messageBytes")
        assert settings.limits.queued_requests == 5
        assert settings.config.triton.grpc == "127.0.0.1:18001"
        assert settings.digest != settings.file_digest
        mount.swap(SETTINGS.format(policy="fcfs") + more)
        await followed.until(lambda: followed.counts == ["applied"] * 2)
        warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
        assert warnings == [f"{mount.file}: waits for a restart: triton.grpc, limits.messageBytes"]
        mount.swap(SETTINGS.format(policy="fcfs"))
        await followed.until(lambda: settings.waiting == ())
        assert settings.digest == settings.file_digest


async def test_looking_costs_next_to_nothing(mount):
    async with Followed(mount.file) as followed:
        looks = 2000
        before = time.thread_time()
        for _ in range(looks):
            followed.reloader._has_changed()
        a_second = (time.thread_time() - before) / looks / reload.LOOK_EACH_S
    assert a_second < 0.001

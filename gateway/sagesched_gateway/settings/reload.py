"""`Reloader`: follows the settings file while the gateway runs, as Kubernetes mounts it or as people edit it.

A mounted ConfigMap changes by a swap: kubelet writes a new folder beside the old one and renames the link
`..data` over, so that the file's own path stays the same and leads elsewhere. We ask the system ten times
a second what the path leads to now (one `stat`, some microseconds): that sees swaps, renames and edits in
place alike. Watching with inotify would cost less still, but its watches stay on the old folder and must be
laid anew after each swap, a lost race there loses a change for good, and some file systems tell it nothing.

A file that has just changed is left alone until it looks the same twice: whoever edits in place may be half
way. A file that is refused changes nothing; it is told once per content in the log, and at `/status` and in
the metrics until it is mended.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from sagesched_gateway.file_state import FileState, state_of
from sagesched_gateway.settings.config import GatewayConfig
from sagesched_gateway.settings.config_file import load_config
from sagesched_gateway.settings.live import LiveSettings

_LOG = logging.getLogger(__name__)

LOOK_EACH_S = 0.1
"""A change is in effect two to three looks later: well within a second, even on a busy machine."""


class Reloader:
    """Takes a changed file over."""

    def __init__(
        self,
        path: Path,
        settings: LiveSettings,
        apply: Callable[[GatewayConfig], None],
        count: Callable[[str], None],
    ) -> None:
        """Prepare; `run` does the work.

        Args:
            path: the settings file.
            settings: told of what comes.
            apply: puts settings into effect; raises ValueError where it cannot, and has changed nothing then.
            count: hears of each reading: `applied`, `unchanged` or `refused`.
        """
        self._path = path
        self._settings = settings
        self._apply = apply
        self._count = count
        self._is_asked = asyncio.Event()
        # Nothing is known at first: the file is read once more, as it may have changed during the start.
        self._known: FileState = None
        self._last: FileState = None

    def ask(self) -> None:
        """Read the file now, changed or not (SIGHUP)."""
        self._is_asked.set()

    async def run(self) -> None:
        """Follow the file for ever."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_EACH_S):
                    await self._is_asked.wait()
            if self._is_asked.is_set() or self._has_changed():
                self._is_asked.clear()
                await self.read()

    async def read(self) -> None:
        """Read the file and take it over, or refuse it."""
        self._known = self._last = state_of(self._path)
        try:
            # In a thread: YAML takes milliseconds, in which tokens would wait.
            wanted = await asyncio.to_thread(load_config, self._path)
            merged = self._settings.merged(wanted)
            is_changed = merged != self._settings.config
            if is_changed:
                self._apply(merged)
        except ValueError as error:  # ConfigFileError is one
            self._refuse("; ".join(str(error).splitlines()))  # a line per complaint
        except Exception as error:
            _LOG.exception("%s: cannot be put into effect", self._path)
            self._refuse(f"{self._path}: cannot be put into effect: {type(error).__name__}: {error}")
        else:
            self._take(wanted, is_changed)

    def _has_changed(self) -> bool:
        look, previous = state_of(self._path), self._last
        self._last = look
        return look != self._known and look == previous

    def _take(self, wanted: GatewayConfig, is_changed: bool) -> None:
        settings = self._settings
        was_waiting, was_refused = settings.waiting, bool(settings.problem)
        settings.take(wanted)
        self._count("applied" if is_changed else "unchanged")
        if is_changed or was_refused:
            _LOG.info("%s: in effect, digest %s", self._path, settings.digest)
        if settings.waiting and settings.waiting != was_waiting:
            _LOG.warning("%s: waits for a restart: %s", self._path, ", ".join(settings.waiting))

    def _refuse(self, problem: str) -> None:
        self._count("refused")
        if problem != self._settings.problem:
            _LOG.error("settings refused, the old ones stay: %s", problem)
        self._settings.refuse(problem)

"""`CertificateFollower`: the certificates in effect, and how they follow their files.

Kubernetes renews a mounted Secret as it does a ConfigMap (see `settings.reload`): a folder is swapped under a
stable path. New handshakes use what was loaded last; connections that stand keep what they began with. Files
that cannot be used change nothing: the old certificates stay, and it is told in the log, at `/status` and in
the metrics until the files are mended.
"""

from __future__ import annotations

import asyncio
import logging
import time
from datetime import UTC, datetime
from pathlib import Path

from sagesched_gateway.file_state import FileState
from sagesched_gateway.tls.certificates import CertificateError, Certificates, load, states_of

_LOG = logging.getLogger(__name__)

LOOK_EACH_S = 0.5
"""A change is in effect two to three looks later; kubelet brings it within a minute or so."""

_START_TRIES = 5


class CertificateFollower:
    """Keeps certificates as fresh as their files.

    Attributes:
        current: in effect.
        version: raised with each change of `current`.
        problem: why the files as they are now are refused; empty where they are not.
    """

    def __init__(self, folder: Path, *, asks_clients: bool) -> None:
        """Load what there is.

        Args:
            folder: see `TlsConfig`.
            asks_clients: callers must show a certificate.

        Raises:
            CertificateError: the files cannot be used.
        """
        self._folder = folder
        self._asks_clients = asks_clients
        self.problem = ""
        self.version = 1
        self._known: tuple[FileState, ...] = ()
        self._last: tuple[FileState, ...] = ()
        self.current = self._load_at_start()

    def _load_at_start(self) -> Certificates:
        """Once more where the files were being swapped meanwhile."""
        for _ in range(_START_TRIES):
            self._known = self._last = states_of(self._folder)
            try:
                loaded, problem = load(self._folder, asks_clients=self._asks_clients), None
            except CertificateError as error:
                problem = error
            if states_of(self._folder) == self._known:
                break
        if problem is not None:
            raise problem
        self._tell(loaded)
        return loaded

    @property
    def expires_at(self) -> float:
        """When the certificate in effect expires, seconds since the epoch."""
        return self.current.expires_at.timestamp()

    @property
    def trouble(self) -> str:
        """What is wrong, in words: refused files, or an expired certificate; empty where nothing is."""
        if self.problem:
            return f"renewed certificates are refused, the old ones stay: {self.problem}"
        if self.expires_at <= time.time():
            return f"the certificate has expired on {self.current.expires_at:%Y-%m-%d %H:%M} UTC"
        return ""

    async def run(self) -> None:
        """Follow the files for ever."""
        while True:
            await asyncio.sleep(LOOK_EACH_S)
            states, previous = states_of(self._folder), self._last
            self._last = states
            if states != self._known and states == previous:
                await self._reload(states)

    async def _reload(self, states: tuple[FileState, ...]) -> None:
        problem = ""
        try:
            # In a thread: reading keys takes milliseconds, in which tokens would wait.
            loaded = await asyncio.to_thread(load, self._folder, asks_clients=self._asks_clients)
        except CertificateError as error:
            problem = str(error)
        if states_of(self._folder) != states:
            return  # swapped meanwhile: the next look sees it
        self._known = states
        if problem:
            if problem != self.problem:
                _LOG.error("certificates refused, the old ones stay: %s", problem)
            self.problem = problem
            return
        self.problem = ""
        if self._differs(loaded):
            self.current = loaded
            self.version += 1
            self._tell(loaded)

    def _differs(self, loaded: Certificates) -> bool:
        old = self.current
        return (old.chain, old.key, old.client_roots) != (loaded.chain, loaded.key, loaded.client_roots)

    def _tell(self, loaded: Certificates) -> None:
        _LOG.info("%s: certificates in effect, expire %s", self._folder, loaded.expires_at.isoformat())
        if loaded.expires_at <= datetime.now(UTC):
            _LOG.error("%s: the certificate has expired", self._folder)

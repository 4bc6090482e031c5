"""`LiveSettings`: the settings in effect, and what is known of the file they came from.

One object for a gateway's life. Whoever must follow a reload asks it at each use (`settings.limits`) instead
of keeping a value; whoever runs on settings that wait for a restart may keep them.
"""

from __future__ import annotations

from sagesched_gateway.settings.config import GatewayConfig, digest
from sagesched_gateway.settings.reloadable import take_reloadable
from sagesched_gateway.settings.sections.limits import LimitsConfig


class LiveSettings:
    """Settings that change while the gateway runs.

    Attributes:
        config: in effect.
        digest: SHA-256 of it.
        file_digest: SHA-256 of what the file held when it last could be read.
        problem: why the file as it is now is refused; empty where it is not.
        waiting: dotted paths of settings that differ in the file and wait for a restart.
    """

    def __init__(self, config: GatewayConfig) -> None:
        self.config = config
        self.digest = self.file_digest = digest(config)
        self.problem = ""
        self.waiting: tuple[str, ...] = ()

    @property
    def limits(self) -> LimitsConfig:
        """What callers may take of the gateway just now."""
        return self.config.limits

    def merged(self, wanted: GatewayConfig) -> GatewayConfig:
        """What would be in effect were `wanted` taken over."""
        return take_reloadable(self.config, wanted)[0]

    def take(self, wanted: GatewayConfig) -> None:
        """What the file holds now: in effect from here on as far as it can be."""
        self.config, self.waiting = take_reloadable(self.config, wanted)
        self.digest, self.file_digest = digest(self.config), digest(wanted)
        self.problem = ""

    def refuse(self, problem: str) -> None:
        """The file cannot be used; everything stays as it is."""
        self.problem = problem

"""`Limits`: what callers may take, as the HTTP faces ask it; `LiveLimits` follows the settings in effect.

A face that asks at each use follows a reload without knowing of it; `LimitsConfig` serves where nothing
changes.
"""

from __future__ import annotations

from typing import Protocol

from sagesched_gateway.settings.live import LiveSettings


class Limits(Protocol):
    """See `config.LimitsConfig`."""

    @property
    def message_bytes(self) -> int:
        """Of one body."""
        ...

    @property
    def header_bytes(self) -> int:
        """Of the headers of one call."""
        ...

    @property
    def json_depth(self) -> int:
        """Nesting of a JSON body."""
        ...

    @property
    def queued_bytes(self) -> int:
        """Of messages that wait."""
        ...

    @property
    def full_code(self) -> str:
        """Status over gRPC of a refusal where something is full."""
        ...

    @property
    def unread_bytes(self) -> int:
        """Answers that one caller has not taken yet."""
        ...

    @property
    def slow_reader_s(self) -> float:
        """A caller that takes nothing for so long loses its requests."""
        ...


class LiveLimits:
    """Those in effect at the moment of asking."""

    def __init__(self, settings: LiveSettings) -> None:
        self._settings = settings

    @property
    def message_bytes(self) -> int:
        """See `Limits`."""
        return self._settings.limits.message_bytes

    @property
    def header_bytes(self) -> int:
        """See `Limits`."""
        return self._settings.limits.header_bytes

    @property
    def json_depth(self) -> int:
        """See `Limits`."""
        return self._settings.limits.json_depth

    @property
    def queued_bytes(self) -> int:
        """See `Limits`."""
        return self._settings.limits.queued_bytes

    @property
    def full_code(self) -> str:
        """See `Limits`."""
        return self._settings.limits.full_code

    @property
    def unread_bytes(self) -> int:
        """See `Limits`."""
        return self._settings.limits.unread_bytes

    @property
    def slow_reader_s(self) -> float:
        """See `Limits`."""
        return self._settings.limits.slow_reader_s

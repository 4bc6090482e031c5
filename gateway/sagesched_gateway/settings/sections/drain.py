"""What happens on SIGTERM."""

from __future__ import annotations

from dataclasses import dataclass, field

from sagesched_gateway.settings.section import Section, key_of


@dataclass(frozen=True, slots=True, kw_only=True)
class DrainConfig:
    """What happens on SIGTERM.

    Attributes:
        max_s: longest time to finish what is queued and running.
    """

    max_s: float = field(default=300.0, metadata=key_of("maxSeconds"))


def read(section: Section) -> DrainConfig:
    """Read `drain`."""
    return DrainConfig(max_s=section.number("maxSeconds", DrainConfig().max_s, least=0.0))

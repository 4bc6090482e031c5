"""What happens on SIGTERM."""

from __future__ import annotations

from dataclasses import dataclass, field

from sagesched_gateway.settings.section import Section, key_of


@dataclass(frozen=True, slots=True, kw_only=True)
class DrainConfig:
    """What happens on SIGTERM.

    Attributes:
        max_s: longest time to finish what is queued and running.
        quantile: give no more time than what is in flight needs with this probability, as predicted when the
            drain begins, and 5 s at least; what waits and cannot be done by then is refused at once. None
            gives all of `maxSeconds`.
    """

    max_s: float = field(default=300.0, metadata=key_of("maxSeconds"))
    quantile: float | None = None


def read(section: Section) -> DrainConfig:
    """Read `drain`."""
    return DrainConfig(
        max_s=section.number("maxSeconds", DrainConfig().max_s, least=0.0),
        quantile=section.number_or_none("quantile", above=0.0, most=1.0),
    )

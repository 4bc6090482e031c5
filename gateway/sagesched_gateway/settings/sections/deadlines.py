"""What becomes of requests that come with a deadline."""

from __future__ import annotations

from dataclasses import dataclass, field

from sagesched_gateway.settings.section import Section, key_of


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadlinesConfig:
    """Requests that come with a deadline: the attribute, or the time limit of a gRPC call.

    Attributes:
        refuse_below: a request that has to wait and would be done in time with a smaller probability is
            refused at the door, 0..1; 0 refuses none.
        drop_below: one that waits is given up as soon as it would be done in time, started at once, with a
            smaller probability, 0..1; 0 gives none up before its deadline.
    """

    refuse_below: float = field(default=0.0, metadata=key_of("refuseBelow"))
    drop_below: float = field(default=0.05, metadata=key_of("dropBelow"))


def read(section: Section) -> DeadlinesConfig:
    """Read `deadlines`."""
    default = DeadlinesConfig()
    return DeadlinesConfig(
        refuse_below=section.number("refuseBelow", default.refuse_below, least=0.0, most=1.0),
        drop_below=section.number("dropBelow", default.drop_below, least=0.0, most=1.0),
    )

"""The order of waiting requests."""

from __future__ import annotations

from dataclasses import dataclass, field

from sagesched_gateway.settings.section import Section, key_of

POLICIES = ("fcfs", "ssjf", "sagesched", "gittins-boost")
"""Names of `scheduling.policies` that may be configured; a test keeps the two equal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SchedulingConfig:
    """The order of waiting requests.

    Attributes:
        policy: one of `POLICIES`.
        tail_weight: gittins-boost: dimensionless, > 0; small favours the mean, large the tail.
        age_guard: ssjf: serve by age while the oldest request has waited too long.
    """

    policy: str = "gittins-boost"
    tail_weight: float = field(default=1.0, metadata=key_of("tailWeight"))
    age_guard: bool = field(default=False, metadata=key_of("ageGuard"))


def read(section: Section) -> SchedulingConfig:
    """Read `scheduling`."""
    default = SchedulingConfig()
    return SchedulingConfig(
        policy=section.choice("policy", default.policy, POLICIES, "policy"),
        tail_weight=section.number("tailWeight", default.tail_weight, above=0.0),
        age_guard=section.flag("ageGuard", default.age_guard),
    )

"""The order of waiting requests."""

from __future__ import annotations

from dataclasses import dataclass, field

from sagesched_gateway.settings.section import Section, key_of

POLICIES = ("fcfs", "ssjf", "sagesched", "gittins-boost", "amax", "amin")
"""Names of `scheduling.policies` that may be configured; a test keeps the two equal."""

EVICT_FIRST = ("Smallest", "Largest")


@dataclass(frozen=True, slots=True, kw_only=True)
class SchedulingConfig:
    """The order of waiting requests.

    Attributes:
        policy: one of `POLICIES`.
        tail_weight: gittins-boost: dimensionless, > 0; small favours the mean, large the tail.
        age_guard: ssjf: serve by age while the oldest request has waited too long.
        lower_quantile: amin: the quantile of the predicted length that it counts on, 0..1.
        upper_quantile: amax: the quantile of the predicted length that it counts on, 0..1.
        evict_first: amin: one of `EVICT_FIRST`: whose lower bound goes first when KV would overflow.
        max_evictions: amin: a request that was taken back so often is left alone from then on.
    """

    policy: str = "gittins-boost"
    tail_weight: float = field(default=1.0, metadata=key_of("tailWeight"))
    age_guard: bool = field(default=False, metadata=key_of("ageGuard"))
    lower_quantile: float = field(default=0.1, metadata=key_of("lowerQuantile"))
    upper_quantile: float = field(default=0.9, metadata=key_of("upperQuantile"))
    evict_first: str = field(default="Smallest", metadata=key_of("evictFirst"))
    max_evictions: int = field(default=3, metadata=key_of("maxEvictions"))


def read(section: Section) -> SchedulingConfig:
    """Read `scheduling`."""
    default = SchedulingConfig()
    config = SchedulingConfig(
        policy=section.choice("policy", default.policy, POLICIES, "policy"),
        tail_weight=section.number("tailWeight", default.tail_weight, above=0.0),
        age_guard=section.flag("ageGuard", default.age_guard),
        lower_quantile=section.number("lowerQuantile", default.lower_quantile, least=0.0, most=1.0),
        upper_quantile=section.number("upperQuantile", default.upper_quantile, least=0.0, most=1.0),
        evict_first=section.choice("evictFirst", default.evict_first, EVICT_FIRST, "order"),
        max_evictions=section.whole("maxEvictions", default.max_evictions, least=0),
    )
    if config.lower_quantile > config.upper_quantile:
        section.refuse("lowerQuantile", f"must be at most upperQuantile, {config.upper_quantile:g}")
    return config

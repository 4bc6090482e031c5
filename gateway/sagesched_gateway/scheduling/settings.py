"""`PolicySettings`: which order, with which knobs."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicySettings:
    """The policy by name and the few knobs that policies have.

    Attributes:
        name: a name in `policies.registry`.
        tail_weight: c of gittins-boost (dimensionless, > 0): small favours the mean, large the tail.
        age_guard: ssjf only: serve by age while the oldest waits over 100 s or ten times its predicted time.
    """

    name: str = "gittins-boost"
    tail_weight: float = 1.0
    age_guard: bool = False

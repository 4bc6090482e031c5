"""`PolicySettings`: which order, with which knobs; `PressureSettings`: what when there is too much."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class EvictFirst(StrEnum):
    """Whom `amin` cancels first where KV would overflow."""

    SMALLEST = "smallest"
    LARGEST = "largest"


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicySettings:
    """The policy by name and the few knobs that policies have.

    Attributes:
        name: a name in `policies.registry`.
        tail_weight: c of gittins-boost (dimensionless, > 0): small favours the mean, large the tail.
        age_guard: ssjf only: serve by age while the oldest waits over 100 s or ten times its predicted time.
        lower_quantile: amin only: the quantile of the predicted length that is the interval's lower end.
        upper_quantile: amax only: the one that is its upper end. 0.1 and 0.9 leave out what one in ten
            requests does at either end, and ten observed answers, the least that a distribution is worth
            much with, still tell both.
        evict_first: amin only: cancel the smallest lower bound first, as the paper does, or the largest.
        max_evictions: amin only: a job cancelled so often is not cancelled again, and counts with prompt
            and `max_tokens` where others count with their lower bound.
    """

    name: str = "gittins-boost"
    tail_weight: float = 1.0
    age_guard: bool = False
    lower_quantile: float = 0.1
    upper_quantile: float = 0.9
    evict_first: EvictFirst = EvictFirst.SMALLEST
    max_evictions: int = 3

    def __post_init__(self) -> None:
        """Refuse what no policy could work with."""
        for quantile in (self.lower_quantile, self.upper_quantile):
            if not 0.0 <= quantile <= 1.0:
                raise ValueError(f"a quantile must lie in [0, 1], got {quantile}")
        if self.lower_quantile > self.upper_quantile:
            raise ValueError(
                f"the lower quantile must not exceed the upper, got {self.lower_quantile} and "
                f"{self.upper_quantile}"
            )
        if self.max_evictions < 0:
            raise ValueError(f"max evictions must be at least 0, got {self.max_evictions}")


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadlineSettings:
    """What becomes of requests that come with a deadline.

    Attributes:
        refuse_below: refuse at the door whose probability to finish in time is below this; 0 refuses nobody.
        drop_below: give up a waiting one whose probability to finish in time, started at once, has sunk
            below this; 0 gives up none before its deadline.
    """

    refuse_below: float = 0.0
    drop_below: float = 0.05

    def __post_init__(self) -> None:
        """Refuse what is no probability."""
        for probability in (self.refuse_below, self.drop_below):
            if not 0.0 <= probability <= 1.0:
                raise ValueError(f"a probability must lie in [0, 1], got {probability}")


@dataclass(frozen=True, slots=True, kw_only=True)
class OverloadSettings:
    """How much may wait, in predicted seconds, and who goes first when it is more.

    Attributes:
        max_backlog_s: most seconds that the engine is predicted to need to start all that waits; None for
            no limit.
        sheddable_below: waiting requests of a lower priority than this are refused before any newcomer.
    """

    max_backlog_s: float | None = None
    sheddable_below: int = 0

    def __post_init__(self) -> None:
        """Refuse a limit that would refuse everybody."""
        if self.max_backlog_s is not None and not self.max_backlog_s > 0:
            raise ValueError(f"max backlog must be above 0 seconds, got {self.max_backlog_s}")


@dataclass(frozen=True, slots=True, kw_only=True)
class TenantSettings:
    """Shares of tenants.

    Attributes:
        weights: share of a tenant relative to the others', > 0.
        default_weight: weight of a tenant that is not named, > 0.
    """

    weights: Mapping[str, float] = field(default_factory=dict)
    default_weight: float = 1.0

    def __post_init__(self) -> None:
        """Refuse weights that are no share."""
        for weight in (*self.weights.values(), self.default_weight):
            if not (weight > 0 and math.isfinite(weight)):
                raise ValueError(f"a tenant's weight must be positive and finite, got {weight}")


@dataclass(frozen=True, slots=True, kw_only=True)
class PressureSettings:
    """What happens when there is more to do than the engine can.

    Attributes:
        deadlines: refusing and giving up what cannot be in time.
        overload: limits of what waits.
        tenants: fair shares; None serves all as one tenant and ignores priorities.
        measure_waits: learn how long requests wait although nothing is refused for it: for predicted waits.
    """

    deadlines: DeadlineSettings = DeadlineSettings()
    overload: OverloadSettings = OverloadSettings()
    tenants: TenantSettings | None = None
    measure_waits: bool = False

    @property
    def measures(self) -> bool:
        """Whether waits are measured: it costs each request that waits some 30 us."""
        limited = self.overload.max_backlog_s is not None
        return self.measure_waits or limited or self.deadlines.refuse_below > 0.0

"""In-engine policies by name; `…@engine` is a policy of the gateway that may put aside."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial

from sagesched_emulator.profiles import EngineProfile
from sagesched_gateway.scheduling.policies.fcfs import Fcfs
from sagesched_gateway.scheduling.policies.gittins_boost import GittinsBoost
from sagesched_gateway.scheduling.policies.sagesched import SageSched
from sagesched_gateway.scheduling.policies.ssjf import Ssjf
from sagesched_gateway.scheduling.settings import PolicySettings
from sagesched_replay.inside.by_bound import Bound, ByBound
from sagesched_replay.inside.from_gateway import FromGateway
from sagesched_replay.inside.jobs import Jobs
from sagesched_replay.inside.ltr import Ltr
from sagesched_replay.inside.mlfq import Mlfq
from sagesched_replay.inside.policy import InsidePolicy
from sagesched_replay.inside.srpt import Srpt
from sagesched_replay.inside.trail import Trail
from sagesched_replay.rivals.mean_cost import MeanCost

MakeInsidePolicy = Callable[[Jobs, EngineProfile, PolicySettings], InsidePolicy]

INSIDE: Mapping[str, MakeInsidePolicy] = {
    "fcfs@engine": lambda jobs, profile, settings: FromGateway(jobs, profile, Fcfs(), None),
    "ssjf@engine": lambda jobs, profile, settings: FromGateway(jobs, profile, Ssjf()),
    "sagesched@engine": lambda jobs, profile, settings: FromGateway(jobs, profile, SageSched()),
    "mean-cost@engine": lambda jobs, profile, settings: FromGateway(jobs, profile, MeanCost()),
    "gittins-boost@engine": lambda jobs, profile, settings: FromGateway(
        jobs, profile, GittinsBoost(settings.tail_weight)
    ),
    "amax@engine": lambda jobs, profile, settings: ByBound(
        jobs, profile, Bound.UPPER, settings.upper_quantile
    ),
    "amin@engine": lambda jobs, profile, settings: ByBound(
        jobs, profile, Bound.LOWER, settings.lower_quantile, settings.evict_first
    ),
    "mlfq": lambda jobs, profile, settings: Mlfq(jobs, profile),
    "mlfq-unaged": lambda jobs, profile, settings: Mlfq(jobs, profile, math.inf),
    "ltr": lambda jobs, profile, settings: Ltr(jobs, profile),
    "ltr-fair": lambda jobs, profile, settings: Ltr(jobs, profile, fair=True),
    "trail": lambda jobs, profile, settings: Trail(jobs, profile),
    "trail-release": lambda jobs, profile, settings: Trail(jobs, profile, young_share=0.0),
    "srpt": lambda jobs, profile, settings: Srpt(jobs, profile),
}

INSIDE_ORACLES = frozenset({"srpt"})
"""Those that look at the true length: bounds, not rivals."""


def make_inside(settings: PolicySettings) -> Callable[[Jobs, EngineProfile], InsidePolicy]:
    """What builds the policy that the settings name; raises KeyError where there is none."""
    return partial(_make, INSIDE[settings.name], settings)


def _make(
    factory: MakeInsidePolicy, settings: PolicySettings, jobs: Jobs, profile: EngineProfile
) -> InsidePolicy:
    return factory(jobs, profile, settings)

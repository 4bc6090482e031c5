"""Policies by name.

Replay adds its comparison policies to a mapping of its own and hands that to `Scheduler`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from sagesched_gateway.scheduling.policies.amax import AMax
from sagesched_gateway.scheduling.policies.amin import AMin
from sagesched_gateway.scheduling.policies.base import Policy
from sagesched_gateway.scheduling.policies.fcfs import Fcfs
from sagesched_gateway.scheduling.policies.gittins_boost import GittinsBoost
from sagesched_gateway.scheduling.policies.sagesched import SageSched
from sagesched_gateway.scheduling.policies.ssjf import Ssjf
from sagesched_gateway.scheduling.settings import PolicySettings

PolicyFactory = Callable[[PolicySettings], Policy]

POLICIES: Mapping[str, PolicyFactory] = {
    Fcfs.name: lambda settings: Fcfs(),
    Ssjf.name: lambda settings: Ssjf(age_guard=settings.age_guard),
    SageSched.name: lambda settings: SageSched(),
    GittinsBoost.name: lambda settings: GittinsBoost(tail_weight=settings.tail_weight),
    AMax.name: lambda settings: AMax(upper_quantile=settings.upper_quantile),
    AMin.name: lambda settings: AMin(
        lower_quantile=settings.lower_quantile,
        evict_first=settings.evict_first,
        max_evictions=settings.max_evictions,
    ),
}


def make_policy(settings: PolicySettings, policies: Mapping[str, PolicyFactory] = POLICIES) -> Policy:
    """Build the policy that the settings name.

    Raises:
        ValueError: no such policy, or a knob out of its range.
    """
    factory = policies.get(settings.name)
    if factory is None:
        raise ValueError(f"unknown policy {settings.name!r}, one of {', '.join(policies)}")
    return factory(settings)

"""The scheduling core's part of the settings, in its own terms; replay reads it too."""

from __future__ import annotations

from sagesched_gateway.scheduling.settings import (
    DeadlineSettings,
    EvictFirst,
    OverloadSettings,
    PolicySettings,
    PressureSettings,
    TenantSettings,
)
from sagesched_gateway.settings.config import GatewayConfig
from sagesched_gateway.settings.sections.scheduling import SchedulingConfig


def policy_of(config: SchedulingConfig) -> PolicySettings:
    """The policy and its knobs."""
    return PolicySettings(
        name=config.policy,
        tail_weight=config.tail_weight,
        age_guard=config.age_guard,
        lower_quantile=config.lower_quantile,
        upper_quantile=config.upper_quantile,
        evict_first=EvictFirst(config.evict_first.lower()),
        max_evictions=config.max_evictions,
    )


def pressure_of(config: GatewayConfig) -> PressureSettings:
    """What happens when there is more to do than the engine can; waits are always measured, for `/status`."""
    tenants = config.tenants
    return PressureSettings(
        deadlines=DeadlineSettings(
            refuse_below=config.deadlines.refuse_below, drop_below=config.deadlines.drop_below
        ),
        overload=OverloadSettings(
            max_backlog_s=config.limits.queued_s, sheddable_below=config.limits.sheddable_below
        ),
        tenants=TenantSettings(weights=dict(tenants.weights), default_weight=tenants.default_weight)
        if tenants.enabled
        else None,
        measure_waits=True,
    )

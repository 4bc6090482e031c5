"""Policies that replay knows beside the gateway's own, to compare with. They are never served."""

from __future__ import annotations

from collections.abc import Mapping

from sagesched_gateway.scheduling.policies.registry import POLICIES, PolicyFactory
from sagesched_replay.rivals.fixed_boost import FixedBoost
from sagesched_replay.rivals.hrrn import Hrrn
from sagesched_replay.rivals.mean_cost import MeanCost
from sagesched_replay.rivals.mean_length import MeanLength, Sjf
from sagesched_replay.rivals.mean_service import MeanService
from sagesched_replay.rivals.promotion import Promotion
from sagesched_replay.rivals.settings import RivalSettings
from sagesched_replay.rivals.short_first import ShortFirst
from sagesched_replay.rivals.svf import Svf
from sagesched_replay.rivals.tie import Tie
from sagesched_replay.rivals.wspt import Wspt

REPLAYED: Mapping[str, PolicyFactory] = {
    **POLICIES,
    MeanCost.name: lambda settings: MeanCost(),
    MeanLength.name: lambda settings: MeanLength(),
    MeanService.name: lambda settings: MeanService(),
    Svf.name: lambda settings: Svf(),
    Tie.name: lambda settings: Tie(),
    Wspt.name: lambda settings: Wspt(),
    Hrrn.name: lambda settings: Hrrn(),
    ShortFirst.name: lambda settings: ShortFirst(),
    Promotion.name: lambda settings: Promotion(RivalSettings.of(settings).promote_after_s),
    FixedBoost.name: lambda settings: FixedBoost(RivalSettings.of(settings).gamma_per_s),
    Sjf.name: lambda settings: Sjf(),
}
"""By name, in the order in which people are told of them."""

ORACLES = frozenset({Sjf.name})
"""Policies that are handed the true length: bounds, not rivals."""

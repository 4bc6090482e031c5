"""Policies that replay knows beside the gateway's own, to compare with. They are never served."""

from __future__ import annotations

from collections.abc import Mapping

from sagesched_emulator.rivals.fixed_boost import FixedBoost
from sagesched_emulator.rivals.hrrn import Hrrn
from sagesched_emulator.rivals.mean_cost import MeanCost
from sagesched_emulator.rivals.mean_length import MeanLength, Sjf
from sagesched_emulator.rivals.promotion import Promotion
from sagesched_emulator.rivals.settings import RivalSettings
from sagesched_emulator.rivals.short_first import ShortFirst
from sagesched_emulator.rivals.svf import Svf
from sagesched_emulator.rivals.tie import Tie
from sagesched_emulator.rivals.wspt import Wspt
from sagesched_gateway.scheduling.policies.registry import POLICIES, PolicyFactory

REPLAYED: Mapping[str, PolicyFactory] = {
    **POLICIES,
    MeanCost.name: lambda settings: MeanCost(),
    MeanLength.name: lambda settings: MeanLength(),
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

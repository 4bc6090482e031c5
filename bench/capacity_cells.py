"""What `capacity.py` varies: how the engine reserves KV, behind which models it stands, what metrics say."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from sagesched_emulator.profiles import EngineProfile
from sagesched_emulator.triton_model.repository import Layout
from sagesched_gateway.dispatch.ports import EngineGauges, EngineLimits
from sagesched_gateway.scheduling.capacity import KvPolicy

RULES = {"ahead": KvPolicy.GUARANTEED_NO_EVICT, "grows": KvPolicy.MAX_UTILIZATION}
BLS_INSTANCES = 64
"""Requests that tensorrt_llm_bls passes on at once: more than fit."""

MODELS = {
    "ensemble": ("ensemble", Layout()),
    "bls": ("tensorrt_llm_bls", Layout(bls_instances=BLS_INSTANCES)),
    "engine": ("tensorrt_llm", Layout()),
    "llmapi": ("tensorrt_llm", Layout(name="llmapi", decoupled=True)),
    "vllm": ("vllm_model", Layout(name="vllm")),
}
"""Profile -> (model that is called, models that there are)."""

METRICS = ("present", "absent", "stale", "high", "low", "nothing")
"""`high`, `low`: all counts but iterations 20 % off. `nothing`: absent, and no size in the configuration."""

STALE_AFTER_S = 5.0
FACTORS = {"high": 1.2, "low": 0.8}
COUNTS = ("max_requests", "active", "scheduled", "waiting", "paused", "kv_blocks", "used_blocks")


@dataclass(frozen=True, slots=True)
class Cell:
    """One combination.

    Attributes:
        rule: in `RULES`.
        profile: in `MODELS`.
        metrics: in `METRICS`.
    """

    rule: str
    profile: str
    metrics: str

    @property
    def has_gauges(self) -> bool:
        """Whether the models export gauges at all."""
        return self.profile not in ("llmapi", "vllm")

    @property
    def tells_lengths(self) -> bool:
        """Whether responses count the tokens of prompt and answer."""
        return self.profile != "llmapi"

    def limits(self, engine: EngineProfile) -> EngineLimits:
        """What the configuration tells of that engine."""
        if self.profile == "llmapi":
            return EngineLimits()
        if self.profile == "vllm":
            return EngineLimits(kv_policy=KvPolicy.MAX_UTILIZATION)
        return EngineLimits(
            slots=engine.max_batch_size,
            kv_tokens=None if self.metrics == "nothing" else engine.kv_tokens,
            kv_policy=engine.kv_policy,
            most_at_once=BLS_INSTANCES if self.profile == "bls" else None,
        )

    def kv_policy_to_set(self) -> KvPolicy | None:
        """What an operator has to tell by hand: the LLM API's rule is in a file that Triton does not show."""
        return RULES[self.rule] if self.profile == "llmapi" else None

    def distorted(self, true: EngineGauges) -> EngineGauges:
        """What a scrape shows."""
        factor = FACTORS.get(self.metrics)
        if factor is None:
            return true
        counts = {name: getattr(true, name) for name in COUNTS}
        wrong = {name: round(value * factor) for name, value in counts.items() if value is not None}
        return replace(true, **wrong)


def cells(rules: list[str], profiles: list[str], metrics: list[str]) -> Iterator[Cell]:
    """All combinations that exist: without gauges there are no conditions of them, and vLLM always grows."""
    for rule in rules:
        for profile in profiles:
            if profile == "vllm" and rule == "ahead":
                continue
            if profile in ("llmapi", "vllm"):
                yield Cell(rule, profile, "nothing")
                continue
            for condition in metrics:
                yield Cell(rule, profile, condition)

"""The engine's limits."""

from __future__ import annotations

from dataclasses import dataclass, field

from sagesched_gateway.settings.section import AUTO, Section, key_of

KV_POLICIES = ("MaxUtilization", "GuaranteedNoEvict")


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineConfig:
    """The engine's limits; None (`auto`) takes them from the model's configuration and metrics.

    Attributes:
        slots: places in the running batch.
        kv_blocks: blocks in the paged KV pool.
        block_tokens: tokens per KV block.
        kv_policy: one of `KV_POLICIES`: how the engine reserves KV blocks.
        max_num_tokens: tokens per engine iteration.
        lookahead: requests sent beyond `slots`, 0..8.
        kv_headroom_iterations: where the engine grows KV as it goes, iterations of growth kept free when a
            request starts; more spares the engine pauses, less fills its pool further.
    """

    slots: int | None = None
    kv_blocks: int | None = field(default=None, metadata=key_of("kvBlocks"))
    block_tokens: int | None = field(default=None, metadata=key_of("blockTokens"))
    kv_policy: str | None = field(default=None, metadata=key_of("kvPolicy"))
    max_num_tokens: int | None = field(default=None, metadata=key_of("maxNumTokens"))
    lookahead: int | None = None
    kv_headroom_iterations: int | None = field(default=None, metadata=key_of("kvHeadroomIterations"))


def read(section: Section) -> EngineConfig:
    """Read `engine`."""
    policy = section.choice("kvPolicy", AUTO, (AUTO, *KV_POLICIES), "KV policy")
    return EngineConfig(
        slots=section.whole_or_auto("slots", least=1),
        kv_blocks=section.whole_or_auto("kvBlocks", least=1),
        block_tokens=section.whole_or_auto("blockTokens", least=1),
        kv_policy=None if policy == AUTO else policy,
        max_num_tokens=section.whole_or_auto("maxNumTokens", least=1),
        lookahead=section.whole_or_auto("lookahead", least=0, most=8),
        kv_headroom_iterations=section.whole_or_auto("kvHeadroomIterations", least=0),
    )

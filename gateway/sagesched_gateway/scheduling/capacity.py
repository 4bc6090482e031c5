"""`EngineCapacity`: what fits into the engine, and how fast it works."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class KvPolicy(StrEnum):
    """How the engine reserves KV blocks (TensorRT-LLM's `batch_scheduler_policy`)."""

    GUARANTEED_NO_EVICT = "GuaranteedNoEvict"
    MAX_UTILIZATION = "MaxUtilization"


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineCapacity:
    """Limits and speed of one engine.

    Attributes:
        slots: places in the running batch (max_batch_size), >= 1.
        knows_slots: False where `slots` is a guess to begin with, to be corrected by measured waits.
        kv_blocks: blocks in the paged KV pool; None where the engine does not tell: then measured waits do.
        whole_kv_blocks: the same with what others fill just now; None where that is not told apart.
        is_metered: whether metrics are up to date, so that both are held against what the engine holds.
        block_tokens: tokens per KV block.
        max_num_tokens: tokens per iteration (prefill budget).
        kv_policy: how the engine reserves blocks.
        iteration_s: duration of one engine iteration under the current load, seconds, > 0.
        prefill_s_per_token: engine seconds per prompt token.
        kv_headroom_iterations: under `MAX_UTILIZATION`, iterations of growth of everything in flight that are
            kept free when a job starts; None chooses (`admission.HEADROOM_ITERATIONS`). 0 admits as greedily
            as the engine.
        kv_caution_iterations: more of these, kept free while the engine pauses requests in spite of them; not
            for policies that pack as tightly as the engine.
        generation: number of engines seen; with another one what was learned of the last is forgotten.
        lookahead: requests sent beyond `slots`, hiding one client-to-engine hop; None chooses none.
    """

    slots: int
    knows_slots: bool = True
    kv_blocks: int | None = None
    whole_kv_blocks: int | None = None
    is_metered: bool = False
    block_tokens: int = 64
    max_num_tokens: int = 8192
    kv_policy: KvPolicy = KvPolicy.GUARANTEED_NO_EVICT
    iteration_s: float = 0.012
    prefill_s_per_token: float = 70e-6
    lookahead: int | None = None
    kv_headroom_iterations: float | None = None
    kv_caution_iterations: float = 0.0
    generation: int = 0

    @property
    def most_kv_blocks(self) -> int | None:
        """What a request may come to hold once nobody else holds anything; None where that is not known."""
        if self.kv_blocks is None or self.whole_kv_blocks is None:
            return self.kv_blocks
        return max(self.kv_blocks, self.whole_kv_blocks)

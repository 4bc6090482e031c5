"""What a request costs the engine, as a function of its output length.

**Memory-time** (the SageSched paper, arXiv 2603.07917, section 3): KV held grows by one token per step, so

    C(I, O) = O²/2 + I·O                                             [KV-token-steps]

**Service** is the engine time that a request takes away from others, kept in *steps* (engine iterations):

    S = I·p + max(held / K, O / slots)                               [steps];   seconds = steps · iteration_s
    held = C(I, O)            where the engine grows KV as it goes (`MAX_UTILIZATION`)
    held = (I + max_tokens)·O where it reserves ahead (`GUARANTEED_NO_EVICT`)

with p prefill steps per prompt token (prefill seconds per token / iteration_s), K the KV pool in tokens,
O/slots the share of the running batch. Where the engine tells no KV pool, only the slot share counts.

*Limit cases.* O >= 1 and I >= 1 always, so the cheapest request still costs its prefill and one step of one
slot's share; S = 0 (an infinite boost) cannot happen. S is strictly increasing in O, so sorted lengths give
sorted costs.

*Why steps.* A measured iteration time changes all the time. In steps, service depends only on the
`CostShape`, and seconds are one multiplication away. The shape itself is kept while the engine's limits stay
within a factor `SHAPE_TOLERANCE` of those it was made from: a cost is an estimate, and a slot limit nudged by
one is no reason to cost every waiting job again. Prefill per step may move by `PREFILL_TOLERANCE`: it follows
each measured step time, and prefill is the small part of a cost.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from sagesched_gateway.scheduling.capacity import EngineCapacity, KvPolicy

FloatArray = npt.NDArray[np.float64]

SHAPE_TOLERANCE = 1.25
PREFILL_TOLERANCE = 2.0


def kv_token_steps(prompt_tokens: float, output_tokens: FloatArray) -> FloatArray:
    """C(I, O) for each output length; shape (n,), KV-token-steps."""
    return output_tokens * (0.5 * output_tokens + prompt_tokens)


@dataclass(frozen=True, slots=True, kw_only=True)
class CostShape:
    """What of an engine decides how requests compare.

    Attributes:
        slots: places in the running batch.
        kv_tokens: KV pool, tokens; None where unknown.
        reserves_ahead: whether KV for `max_tokens` is held from the first step.
        prefill_steps_per_token: prefill time of one prompt token, in engine steps.
    """

    slots: float
    kv_tokens: float | None
    reserves_ahead: bool
    prefill_steps_per_token: float

    @classmethod
    def of(cls, capacity: EngineCapacity) -> Self:
        """The shape of an engine as now known."""
        return cls(
            slots=float(capacity.slots),
            kv_tokens=None
            if capacity.kv_blocks is None
            else float(capacity.kv_blocks * capacity.block_tokens),
            reserves_ahead=capacity.kv_policy is KvPolicy.GUARANTEED_NO_EVICT,
            prefill_steps_per_token=capacity.prefill_s_per_token / capacity.iteration_s,
        )

    def is_close_to(self, other: CostShape) -> bool:
        """Whether costs by the other shape would be about the same."""
        if self.reserves_ahead != other.reserves_ahead or (self.kv_tokens is None) != (
            other.kv_tokens is None
        ):
            return False
        return (
            _close(self.slots, other.slots, SHAPE_TOLERANCE)
            and _close(self.kv_tokens or 1.0, other.kv_tokens or 1.0, SHAPE_TOLERANCE)
            and _close(self.prefill_steps_per_token, other.prefill_steps_per_token, PREFILL_TOLERANCE)
        )

    def service_steps(self, prompt_tokens: int, max_tokens: int, output_tokens: FloatArray) -> FloatArray:
        """S for each output length (tokens, shape (n,)), in engine steps, shape (n,)."""
        # Both shares are O times something; the larger something decides.
        per_token: FloatArray | float = 1.0 / self.slots
        if self.kv_tokens is not None:
            pool = 1.0 / self.kv_tokens
            if self.reserves_ahead:
                per_token = max(per_token, pool * (prompt_tokens + max_tokens))
            else:
                per_token = np.maximum(output_tokens * (0.5 * pool) + prompt_tokens * pool, per_token)
        return output_tokens * per_token + prompt_tokens * self.prefill_steps_per_token


def _close(a: float, b: float, factor: float) -> bool:
    return a == b or (min(a, b) > 0 and max(a, b) <= factor * min(a, b))

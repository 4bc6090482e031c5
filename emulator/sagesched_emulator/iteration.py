"""What an engine iteration tells the outside: tokens emitted, and the gauges that a real executor reports."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


class Emission(NamedTuple):
    """A response of one request; one per token at most, exactly one of them `final`.

    A named tuple, because with streaming there is one per running sequence and iteration.

    Attributes:
        request_id: the request it belongs to.
        new_tokens: output tokens since its previous emission.
        total_tokens: output tokens so far.
        first: it carries the first output token.
        final: nothing follows; the request has left the engine.
        stopped: it ended by `stop`, not by its own length.
    """

    request_id: str
    new_tokens: int
    total_tokens: int
    first: bool
    final: bool
    stopped: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineStatistics:
    """The executor's gauges; those of the batch are as of its latest iteration.

    As in TensorRT-LLM, up to max_batch_size requests are active, scheduled or not, and the rest is queued. So
    "waiting" as exported by Triton is `num_active - num_scheduled`.

    Attributes:
        num_active: requests the executor has taken up.
        num_scheduled: requests that took part in the latest iteration.
        num_queued: requests not yet taken up.
        num_context: scheduled ones in prefill.
        num_generation: scheduled ones that generated from their cache.
        num_paused: requests that lost their cache in the latest iteration.
        used_blocks: KV blocks held.
        free_blocks: KV blocks free.
        max_blocks: KV blocks there are.
        block_tokens: tokens per block.
        iteration: iterations run so far.
        evictions: pauses so far.
        busy_s: seconds spent in iterations so far.
    """

    num_active: int
    num_scheduled: int
    num_queued: int
    num_context: int
    num_generation: int
    num_paused: int
    used_blocks: int
    free_blocks: int
    max_blocks: int
    block_tokens: int
    iteration: int
    evictions: int
    busy_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Iteration:
    """One pass of the executor's loop.

    Attributes:
        started_at: instant at which it began, seconds.
        ended_at: instant at which it ended and its emissions were delivered; `started_at` when nothing was
            scheduled.
        emissions: stopped requests first, then the others in the order they were started.
        statistics: gauges of this iteration, before those that it finished left.
    """

    started_at: float
    ended_at: float
    emissions: list[Emission]
    statistics: EngineStatistics

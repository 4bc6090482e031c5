"""`EngineProfile`: limits and speed of the engines that the emulator knows by name.

`kv-bound` and `slot-bound` are two plain engines on which one resource is always scarce; published figures
refer to them. `kv-ahead` is `kv-bound` with KV reserved for `max_tokens` ahead.
`kv-half` is half of it: what one of two tenants has of `kv-bound`.
`instant` takes almost no time, so that what remains is overhead of the path to it.

`h100-8b`, `h200-8b` (Llama-3.1-8B, bfloat16) and `h100-32b` (Qwen3-32B, FP8) stand for real engines.
`bench/step_time_fit.py` fits their step times to measured points and prints the errors on points left out of
the fit, noted here as median / p90.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from sagesched_emulator.step_time import StepTime
from sagesched_gateway.scheduling.capacity import EngineCapacity, KvPolicy

_CONTEXT_TOKENS_WHEN_FULL = 512  # prompt and output so far of a usual sequence, for a usual iteration time


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkRates:
    """An engine's work where its definition fixes it: seconds per unit of a request.

    Attributes:
        per_prompt_token_s: by prompt tokens I.
        per_output_token_s: by output tokens O.
        per_token_step_s: by KV-token-steps C(I, O) = O^2 / 2 + I O.
    """

    per_prompt_token_s: float = 0.0
    per_output_token_s: float = 0.0
    per_token_step_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineProfile:
    """One engine.

    Attributes:
        name: as in `PROFILES`.
        step_time: how long an iteration takes.
        max_batch_size: slots in the running batch.
        max_num_tokens: tokens per iteration, >= max_batch_size.
        kv_blocks: KV blocks in the pool.
        block_tokens: tokens per block.
        kv_policy: how blocks are reserved.
        work_rates: the engine's work where its definition fixes it; None derives it from the step time.
    """

    name: str
    step_time: StepTime
    max_batch_size: int
    max_num_tokens: int
    kv_blocks: int
    block_tokens: int
    kv_policy: KvPolicy = KvPolicy.MAX_UTILIZATION
    work_rates: WorkRates | None = None

    def __post_init__(self) -> None:
        """Refuse limits under which the engine could not run."""
        if min(self.max_batch_size, self.kv_blocks, self.block_tokens) < 1:
            raise ValueError(f"{self.name}: slots, blocks and tokens per block must be at least 1")
        if self.max_num_tokens < self.max_batch_size:
            raise ValueError(
                f"{self.name}: max_num_tokens must be at least max_batch_size, or a full batch could not step"
            )

    @property
    def kv_tokens(self) -> int:
        """Tokens that the KV pool holds."""
        return self.kv_blocks * self.block_tokens

    @property
    def full_iteration_s(self) -> float:
        """Seconds of an iteration without prefill when the engine is full of sequences of usual length."""
        num_sequences = max(1, min(self.max_batch_size, self.kv_tokens // _CONTEXT_TOKENS_WHEN_FULL))
        return self.step_time.seconds(num_sequences, num_sequences * _CONTEXT_TOKENS_WHEN_FULL, 0)

    def work(self, prompt_tokens: int, output_tokens: int) -> float:
        """Engine seconds that a request takes from others; load is their sum over the span of arrivals.

        Unless `work_rates` says otherwise: the request's own terms of the step time, and of each step's base
        the share of whichever resource is scarcer for it, slots (1 / slots) or KV (its context / the pool).
        """
        held = output_tokens * output_tokens / 2 + prompt_tokens * output_tokens
        if self.work_rates is not None:
            return (
                self.work_rates.per_prompt_token_s * prompt_tokens
                + self.work_rates.per_output_token_s * output_tokens
                + self.work_rates.per_token_step_s * held
            )
        own_s = (
            self.step_time.prefill_s_per_token * prompt_tokens
            + self.step_time.per_sequence_s * output_tokens
            + self.step_time.per_cached_token_s * held
        )
        scarce = max(output_tokens / self.max_batch_size, held / self.kv_tokens)
        return own_s + self.step_time.base_s * scarce

    def capacity(self) -> EngineCapacity:
        """What a gateway would know of this engine."""
        return EngineCapacity(
            slots=self.max_batch_size,
            kv_blocks=self.kv_blocks,
            block_tokens=self.block_tokens,
            max_num_tokens=self.max_num_tokens,
            kv_policy=self.kv_policy,
            iteration_s=self.full_iteration_s,
            prefill_s_per_token=self.step_time.prefill_s_per_token,
        )


def halved(engine: EngineProfile) -> EngineProfile:
    """Half the slots and half the pool; full of requests, an iteration takes as long as the whole one's."""
    whole, rates = engine.step_time, engine.work_rates
    return replace(
        engine,
        step_time=replace(
            whole,
            per_sequence_s=2 * whole.per_sequence_s,
            per_cached_token_s=2 * whole.per_cached_token_s,
            prefill_s_per_token=2 * whole.prefill_s_per_token,
        ),
        max_batch_size=max(engine.max_batch_size // 2, 1),
        kv_blocks=max(engine.kv_blocks // 2, 1),
        work_rates=rates
        and WorkRates(
            per_prompt_token_s=2 * rates.per_prompt_token_s,
            per_output_token_s=2 * rates.per_output_token_s,
            per_token_step_s=2 * rates.per_token_step_s,
        ),
    )


_PLAIN_STEP = StepTime(
    base_s=10e-3, per_sequence_s=20e-6, per_cached_token_s=40e-9, prefill_s_per_token=70e-6
)

_KV_BOUND = EngineProfile(
    name="kv-bound",
    step_time=_PLAIN_STEP,
    max_batch_size=256,
    max_num_tokens=8192,
    kv_blocks=750,  # 24,000 tokens: some fifty usual sequences, far fewer than the slots
    block_tokens=32,
    work_rates=WorkRates(per_token_step_s=1 / 2.0e6),
)

_KV_AHEAD = replace(_KV_BOUND, name="kv-ahead", kv_policy=KvPolicy.GUARANTEED_NO_EVICT)

_KV_HALF = replace(halved(_KV_BOUND), name="kv-half")

_SLOT_BOUND = EngineProfile(
    name="slot-bound",
    step_time=_PLAIN_STEP,
    max_batch_size=32,
    max_num_tokens=8192,
    kv_blocks=32 * 1024,  # 32 Ki tokens for each slot: never binding
    block_tokens=32,
    work_rates=WorkRates(per_prompt_token_s=70e-6, per_output_token_s=10.64e-3 / 32),
)

_INSTANT = EngineProfile(
    name="instant",
    step_time=StepTime(base_s=0.2e-3, per_sequence_s=0.0, per_cached_token_s=0.0, prefill_s_per_token=0.0),
    max_batch_size=256,
    max_num_tokens=8192,
    kv_blocks=256 * 256,
    block_tokens=64,
)


def _kv_blocks(memory_gib: float, weights_gb: float, kv_bytes_per_token: int, block_tokens: int) -> int:
    """Blocks in nine tenths (TensorRT-LLM's default) of what weights and 3.5 GiB of buffers leave."""
    free_bytes = (memory_gib - 3.5) * 2**30 - weights_gb * 1e9
    return int(0.9 * free_bytes / kv_bytes_per_token / block_tokens)


_H100_8B = EngineProfile(
    name="h100-8b",
    # TPOT 1.1 / 3.8 %, TTFT 8 / 25 %, over 42 runs of TensorRT-LLM.
    step_time=StepTime(
        base_s=6.551e-3, per_sequence_s=0.0, per_cached_token_s=48.64e-9, prefill_s_per_token=20.05e-6
    ),
    max_batch_size=256,
    max_num_tokens=8192,
    kv_blocks=_kv_blocks(80, 16.1, 2 * 32 * 8 * 128 * 2, 64),
    block_tokens=64,
)

_H200_8B = EngineProfile(
    name="h200-8b",
    # Those of h100-8b times the ratio of kernel sums, themselves fitted to 3 / 5 % (generation) and
    # 13 / 29 % (prefill).
    step_time=StepTime(
        base_s=5.099e-3, per_sequence_s=0.0, per_cached_token_s=34.12e-9, prefill_s_per_token=20.96e-6
    ),
    max_batch_size=256,
    max_num_tokens=8192,
    kv_blocks=_kv_blocks(141, 16.1, 2 * 32 * 8 * 128 * 2, 64),
    block_tokens=64,
)

_H100_32B = EngineProfile(
    name="h100-32b",
    # TPOT 2.4 / 7.1 %, TTFT 6 / 15 %, over 39 runs of TensorRT-LLM.
    step_time=StepTime(
        base_s=13.90e-3, per_sequence_s=62.57e-6, per_cached_token_s=40.13e-9, prefill_s_per_token=70.54e-6
    ),
    max_batch_size=256,
    max_num_tokens=8192,
    kv_blocks=4480,  # FP8: 286,720 tokens; measured runs begin to queue between 278,528 and 294,912
    block_tokens=64,
)

PROFILES: dict[str, EngineProfile] = {
    known.name: known
    for known in (_KV_BOUND, _SLOT_BOUND, _KV_AHEAD, _KV_HALF, _H100_8B, _H200_8B, _H100_32B, _INSTANT)
}


def profile(name: str) -> EngineProfile:
    """The profile of that name.

    Raises:
        ValueError: there is none; the message names the known ones.
    """
    try:
        return PROFILES[name]
    except KeyError:
        raise ValueError(f"unknown engine profile {name!r}, one of {', '.join(PROFILES)}") from None

"""`Engine`: a TensorRT-LLM executor, iteration by iteration, in virtual time.

An iteration does what the executor's loop does. Stopped requests leave. The capacity scheduler lets running
sequences keep or extend their KV blocks, then takes queued ones strictly first in, first out while a slot and
blocks are free. The micro-batch scheduler caps the tokens of an iteration: generation first, then whole
prompts in order (no chunking). A sequence's first token comes out of the iteration that prefills it.

- `GUARANTEED_NO_EVICT`: a sequence reserves blocks for prompt + max_tokens at its start and never loses them.
- `MAX_UTILIZATION`: it holds blocks for its context and the token to come. When one must grow and no block
  is free, the latest-started is paused: its cache is dropped, its progress kept, and it waits at the front of
  the queue until prompt and progress can be prefilled again.

The engine never uses the true length to decide what fits. PURE: no clock, no chance; callers pass `now`.
"""

from __future__ import annotations

from collections import OrderedDict

from sagesched_emulator.iteration import Emission, EngineStatistics, Iteration
from sagesched_emulator.kv_cache import KvCache
from sagesched_emulator.profiles import EngineProfile
from sagesched_emulator.sequence import NEVER, Calendar, Sequence
from sagesched_gateway.scheduling.capacity import KvPolicy


class Engine:
    """One engine; owned by one caller, who submits, stops and steps.

    Attributes:
        profile: limits and speed.
        cache: the KV blocks.
        used_blocks: KV blocks held during the latest iteration that `advance` ran.
        queue_waits: per request, from `submit` to its first prefill: seconds, iterations that ran in between.
    """

    def __init__(self, profile: EngineProfile, stream_interval: int = 1) -> None:
        """Start idle.

        Args:
            profile: limits and speed.
            stream_interval: emit after the first, each n-th and the last output token, n >= 1.
        """
        if stream_interval < 1:
            raise ValueError(f"stream_interval must be at least 1, got {stream_interval}")
        self.profile = profile
        self.cache = KvCache(profile.kv_blocks, profile.block_tokens)
        self.used_blocks = 0
        self.queue_waits: list[tuple[float, int]] = []
        self._reserves_ahead = profile.kv_policy is KvPolicy.GUARANTEED_NO_EVICT
        self._interval = stream_interval
        self._queue: OrderedDict[str, Sequence] = OrderedDict()
        self._running: dict[str, Sequence] = {}  # in the order of their start, which is that of submission
        self._stopping: dict[str, None] = {}
        self._growth = Calendar()
        self._output = Calendar()
        self._cached_tokens = 0  # of all running sequences
        self._num_submitted = 0
        self._iteration = 0
        self._num_context = 0
        self._num_generation = 0
        self._num_paused = 0
        self._evictions = 0
        self._busy_s = 0.0

    @property
    def idle(self) -> bool:
        """Whether nothing is queued or running; a step would do nothing."""
        return not self._queue and not self._running

    def submit(
        self, request_id: str, prompt_tokens: int, max_tokens: int, output_tokens: int, now: float
    ) -> None:
        """Put a request at the end of the queue.

        Args:
            request_id: unique among requests without a final emission.
            prompt_tokens: prompt length, >= 1.
            max_tokens: cap on output tokens, >= 1; the engine reserves by it where it reserves ahead.
            output_tokens: the true output length, >= 1, cut at `max_tokens`.
            now: instant of submission, seconds.

        Raises:
            ValueError: a count is below 1, the prompt exceeds max_num_tokens, the request could not fit into
                the empty engine, or the id is in use.
        """
        self._check_new(request_id, prompt_tokens, max_tokens, output_tokens)
        self._num_submitted += 1
        self._queue[request_id] = Sequence(
            request_id=request_id,
            ordinal=self._num_submitted,
            prompt_tokens=prompt_tokens,
            max_tokens=max_tokens,
            target_tokens=min(output_tokens, max_tokens),
            submitted_at=now,
            submitted_iteration=self._iteration,
        )

    def stop(self, request_id: str) -> None:
        """End a request early, queued or running; an unknown or finished one is left alone.

        It leaves when the next step begins, so after the iteration under way; that step emits its final.
        """
        if request_id in self._queue or request_id in self._running:
            self._stopping[request_id] = None

    def step(self, now: float) -> Iteration:
        """Run the iteration that starts at `now`; with nothing to schedule it takes no time, and is none."""
        stopped, ended_at = self._iterate(now)
        # Taken before finished sequences leave, so that the gauges describe the iteration and add up.
        statistics = self.statistics()
        emissions = stopped + self._emit_due()
        return Iteration(started_at=now, ended_at=ended_at, emissions=emissions, statistics=statistics)

    def advance(self, now: float) -> tuple[float, list[Emission]]:
        """As `step`, for callers in a hurry: when it ended and what it emitted, without the gauges."""
        stopped, ended_at = self._iterate(now)
        self.used_blocks = self.cache.used_blocks
        return ended_at, stopped + self._emit_due()

    @property
    def num_scheduled(self) -> int:
        """Sequences that took part in the latest iteration."""
        return self._num_context + self._num_generation

    @property
    def num_present(self) -> int:
        """Requests inside, running or queued."""
        return len(self._running) + len(self._queue)

    @property
    def claimed_blocks(self) -> int:
        """KV blocks held, and those that queued requests need to start."""
        return self.cache.used_blocks + sum(
            self._blocks_to_start(sequence) for sequence in self._queue.values()
        )

    def statistics(self) -> EngineStatistics:
        """Gauges now; those of the batch are as of the latest iteration."""
        present = len(self._running) + len(self._queue)
        num_active = min(present, self.profile.max_batch_size)
        return EngineStatistics(
            num_active=num_active,
            num_scheduled=self._num_context + self._num_generation,
            num_queued=present - num_active,
            num_context=self._num_context,
            num_generation=self._num_generation,
            num_paused=self._num_paused,
            used_blocks=self.cache.used_blocks,
            free_blocks=self.cache.free_blocks,
            max_blocks=self.cache.max_blocks,
            block_tokens=self.cache.block_tokens,
            iteration=self._iteration,
            evictions=self._evictions,
            busy_s=self._busy_s,
        )

    def _iterate(self, now: float) -> tuple[list[Emission], float]:
        """Let stopped requests go and run an iteration; returns their emissions and when it ended."""
        stopped = [self._stop_now(request_id) for request_id in self._stopping]
        self._stopping.clear()
        upcoming = self._iteration + 1
        self._num_paused = self._grow(upcoming)
        self._num_generation = len(self._running)
        cached_tokens = self._cached_tokens
        prefill_tokens = self._admit(upcoming, now) if self._queue else 0
        self._num_context = len(self._running) - self._num_generation
        ended_at = now
        if self._running:
            ended_at += self._run(cached_tokens, prefill_tokens)
        return stopped, ended_at

    def _emit_due(self) -> list[Emission]:
        return [self._emit(sequence) for sequence in self._output.take(self._iteration)]

    def _check_new(self, request_id: str, prompt_tokens: int, max_tokens: int, output_tokens: int) -> None:
        if min(prompt_tokens, max_tokens, output_tokens) < 1:
            raise ValueError(
                f"{request_id!r}: prompt_tokens, max_tokens and output_tokens must be at least 1, "
                f"got {prompt_tokens}, {max_tokens}, {output_tokens}"
            )
        if prompt_tokens > self.profile.max_num_tokens:
            raise ValueError(
                f"{request_id!r}: a prompt of {prompt_tokens} tokens exceeds max_num_tokens "
                f"{self.profile.max_num_tokens}"
            )
        blocks = self.cache.blocks_for(prompt_tokens + max_tokens)
        if blocks > self.cache.max_blocks:
            raise ValueError(
                f"{request_id!r}: prompt and max_tokens may need {blocks} KV blocks, the engine has "
                f"{self.cache.max_blocks}"
            )
        if request_id in self._queue or request_id in self._running:
            raise ValueError(f"{request_id!r} is in use")

    def _stop_now(self, request_id: str) -> Emission:
        """Take a request out at once and say so."""
        if request_id in self._running:
            sequence = self._running[request_id]
            total_tokens = sequence.tokens_after(self._iteration)
            self._leave(sequence, total_tokens)
        else:
            sequence = self._queue.pop(request_id)
            total_tokens = sequence.tokens_at_prefill
        new_tokens = total_tokens - sequence.emitted_tokens
        return Emission(request_id, new_tokens, total_tokens, first=False, final=True, stopped=True)

    def _grow(self, iteration: int) -> int:
        """Give running sequences the block that this iteration needs; returns how many were paused for it."""
        num_paused = 0
        for sequence in self._growth.take(iteration):
            while sequence.grows_in == iteration and not self.cache.fits(1):
                self._pause(self._running[next(reversed(self._running))])
                num_paused += 1
            if sequence.grows_in == iteration:
                self.cache.reserve(sequence.request_id, 1)
                self._plan_growth(sequence)
        self._evictions += num_paused
        return num_paused

    def _pause(self, sequence: Sequence) -> None:
        """Drop the sequence's cache, keep its progress, and queue it before all others."""
        total_tokens = sequence.tokens_after(self._iteration)
        self._leave(sequence, total_tokens)
        sequence.tokens_at_prefill = total_tokens
        self._queue[sequence.request_id] = sequence
        self._queue.move_to_end(sequence.request_id, last=False)

    def _admit(self, iteration: int, now: float) -> int:
        """Start queued sequences in order until one does not fit; returns the tokens to prefill."""
        budget = self.profile.max_num_tokens - len(self._running)
        prefill_tokens = 0
        while self._queue and len(self._running) < self.profile.max_batch_size:
            sequence = next(iter(self._queue.values()))
            context = sequence.prompt_tokens + sequence.tokens_at_prefill
            blocks = self._blocks_to_start(sequence)
            # Progress may have carried a paused sequence beyond max_num_tokens: then it is prefilled alone,
            # or it would never come back.
            oversize_alone = context > self.profile.max_num_tokens and prefill_tokens == 0
            if not self.cache.fits(blocks) or (prefill_tokens + context > budget and not oversize_alone):
                break
            self._start(sequence, blocks, iteration, now)
            prefill_tokens += context
        return prefill_tokens

    def _blocks_to_start(self, sequence: Sequence) -> int:
        if self._reserves_ahead:
            return self.cache.blocks_for(sequence.prompt_tokens + sequence.max_tokens)
        return self.cache.blocks_for(sequence.prompt_tokens + sequence.tokens_at_prefill + 1)

    def _start(self, sequence: Sequence, blocks: int, iteration: int, now: float) -> None:
        """Move the head of the queue into the batch and plan what will happen to it."""
        if sequence.prefilled_in == NEVER:
            wait_iterations = self._iteration - sequence.submitted_iteration
            self.queue_waits.append((now - sequence.submitted_at, wait_iterations))
        del self._queue[sequence.request_id]
        self._running[sequence.request_id] = sequence
        self.cache.reserve(sequence.request_id, blocks)
        sequence.prefilled_in = iteration
        self._cached_tokens += sequence.prompt_tokens + sequence.tokens_at_prefill
        if not self._reserves_ahead:
            self._plan_growth(sequence)
        self._plan_emission(sequence, sequence.tokens_at_prefill)

    def _plan_growth(self, sequence: Sequence) -> None:
        """The iteration whose token no longer fits into the blocks held."""
        room = self.cache.held(sequence.request_id) * self.cache.block_tokens
        sequence.grows_in = sequence.iteration_of(room - sequence.prompt_tokens + 1)
        self._growth.put(sequence.grows_in, sequence)

    def _plan_emission(self, sequence: Sequence, total_tokens: int) -> None:
        sequence.emits_in = sequence.iteration_of(sequence.next_emission(total_tokens, self._interval))
        self._output.put(sequence.emits_in, sequence)

    def _run(self, cached_tokens: int, prefill_tokens: int) -> float:
        """One more token for each running sequence; returns the seconds it takes."""
        duration_s = self.profile.step_time.seconds(len(self._running), cached_tokens, prefill_tokens)
        self._iteration += 1
        self._cached_tokens += len(self._running)
        self._busy_s += duration_s
        return duration_s

    def _emit(self, sequence: Sequence) -> Emission:
        """Deliver the tokens since the previous emission, and let the sequence go with its last one."""
        total_tokens = sequence.tokens_after(self._iteration)
        first = sequence.emitted_tokens == 0
        new_tokens = total_tokens - sequence.emitted_tokens
        sequence.emitted_tokens = total_tokens
        final = total_tokens == sequence.target_tokens
        if final:
            self._leave(sequence, total_tokens)
        else:
            self._plan_emission(sequence, total_tokens)
        return Emission(sequence.request_id, new_tokens, total_tokens, first, final, stopped=False)

    def _leave(self, sequence: Sequence, total_tokens: int) -> None:
        """Free slot and blocks; nothing is planned for the sequence any more."""
        del self._running[sequence.request_id]
        self.cache.release(sequence.request_id)
        self._cached_tokens -= sequence.prompt_tokens + total_tokens
        self._growth.discard(sequence.grows_in, sequence)
        self._output.discard(sequence.emits_in, sequence)
        sequence.grows_in = sequence.emits_in = NEVER

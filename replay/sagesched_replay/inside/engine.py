"""The loop of an engine that chooses its batch anew between iterations.

The step time, the KV blocks and the limits are those of `Engine`; what differs is who decides. There is no
gateway, so no hop and no wait for a prediction. Requests arrive between iterations. As long as nothing can
change (no arrival, no end, no key, no overflow) iterations are added up in one go, exactly.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from sagesched_emulator.profiles import EngineProfile
from sagesched_emulator.trace import Trace
from sagesched_gateway.scheduling.costing import assumed_lengths
from sagesched_replay.inside.jobs import IntArray, Jobs
from sagesched_replay.inside.order import blocks_of, by_key, prefill_of
from sagesched_replay.inside.policy import InsidePolicy
from sagesched_replay.inside.preemption import Preemption, Way
from sagesched_replay.knowledge import Knowledge
from sagesched_replay.run import ReplayRun, Served

MakeInside = Callable[[Jobs, EngineProfile], InsidePolicy]


class Spans(NamedTuple):
    """Seconds of one or more iterations that run the same batch.

    Attributes:
        fixed_s: of each, whatever is cached.
        per_cached_s: of each cached token.
        cached: tokens cached when the first begins.
        batch: sequences, hence tokens more per iteration.
    """

    fixed_s: float
    per_cached_s: float
    cached: int
    batch: int

    def seconds(self, iterations: int) -> float:
        """Of so many iterations."""
        cached = iterations * self.cached + self.batch * iterations * (iterations - 1) / 2
        return iterations * self.fixed_s + self.per_cached_s * cached

    def iterations_until(self, seconds: float) -> int:
        """Fewest iterations that take at least so long, >= 1."""
        first_s = self.fixed_s + self.per_cached_s * self.cached
        growth_s = self.per_cached_s * self.batch / 2
        if growth_s > 0:
            b = first_s - growth_s
            guess = (-b + math.sqrt(b * b + 4 * growth_s * max(seconds, 0.0))) / (2 * growth_s)
        else:
            guess = seconds / first_s
        iterations = max(1, math.floor(guess))
        while self.seconds(iterations) < seconds:
            iterations += 1
        return iterations


class InsideEngine:
    """One engine with one policy inside.

    Attributes:
        now: seconds.
        jobs: all requests.
    """

    def __init__(
        self,
        trace: Trace,
        profile: EngineProfile,
        make_policy: MakeInside,
        knowledge: Knowledge,
        preemption: Preemption,
    ) -> None:
        """Start empty, at the trace's start."""
        self.now = 0.0
        self.jobs = Jobs(trace.requests)
        self._trace = trace
        self._profile = profile
        self._policy = make_policy(self.jobs, profile)
        self._knowledge = knowledge
        self._preemption = preemption
        self._served = [Served(request=request) for request in trace.requests]
        self._num_arrived = 0
        self._busy_s = 0.0
        self._backlog_s = self._backlog_batch = self._backlog_kv = 0.0
        self._backlog_tokens = 0

    def run(self, name: str, on_served: Callable[[], object] = lambda: None) -> ReplayRun:
        """To the end of all requests."""
        while True:
            self._take_arrivals(on_served)
            if not self.jobs.present.any():
                if self._num_arrived == len(self.jobs):
                    break
                self.now = self._next_arrival()
                continue
            self._run_one_batch(on_served)
        for served, preemptions, discarded in zip(
            self._served, self.jobs.preemptions, self.jobs.discarded, strict=True
        ):
            served.evictions = int(preemptions) if self._policy.restarts else 0
            served.discarded_tokens = int(discarded)
        span_s = self._backlog_s or 1.0
        return ReplayRun(
            policy=name,
            served=tuple(self._served),
            evictions=0 if self._policy.restarts else int(self.jobs.preemptions.sum()),
            busy_s=self._busy_s,
            ended_at=self.now,
            engine_waits=(),
            backlog_s=self._backlog_s,
            backlog_batch=self._backlog_batch / span_s,
            backlog_kv=self._backlog_kv / span_s,
            backlog_tokens_per_s=self._backlog_tokens / span_s,
        )

    def _next_arrival(self) -> float:
        return float(self.jobs.arrival[self._num_arrived]) if self._num_arrived < len(self.jobs) else math.inf

    def _take_arrivals(self, on_served: Callable[[], object]) -> None:
        while self._next_arrival() <= self.now:
            index, request = self._num_arrived, self._trace.requests[self._num_arrived]
            self._num_arrived += 1
            most_blocks = -(-(request.prompt_tokens + request.max_tokens) // self._profile.block_tokens)
            if request.prompt_tokens > self._profile.max_num_tokens or most_blocks > self._profile.kv_blocks:
                self._served[index].failure = "it cannot run on this engine even alone"
                on_served()
                continue
            lengths = self._knowledge.predict(request) or assumed_lengths(request.max_tokens)
            self.jobs.present[index] = True
            self._policy.arrived(index, lengths.clipped(request.max_tokens))

    def _run_one_batch(self, on_served: Callable[[], object]) -> None:
        """Choose a batch and run it until something can change."""
        jobs, profile = self.jobs, self._profile
        self._policy.prepare(self.now)
        headroom = self._preemption.headroom_iterations
        choice = self._policy.choose(headroom) or by_key(self._policy, jobs, profile, headroom)
        batch = choice.batch
        is_new = ~jobs.running[batch]
        cached = int((jobs.prompt[batch] + jobs.generated[batch])[~is_new].sum())
        joined = batch[is_new]
        prefill_tokens = int(prefill_of(jobs, joined).sum())
        moved_tokens = self._put_aside(batch)
        back = joined[jobs.swapped[joined]]
        moved_tokens += int((jobs.prompt[back] + jobs.generated[back]).sum())
        cached += int((jobs.prompt[back] + jobs.generated[back]).sum())
        jobs.swapped[back] = False
        jobs.running[:] = False
        jobs.running[batch] = True
        for index in joined:
            if self._served[index].started_at is None:
                self._served[index].started_at = self.now
        first_s = profile.step_time.seconds(batch.size, cached, prefill_tokens)
        first_s += moved_tokens * self._preemption.swap_s_per_token
        self._advance(batch, 1, first_s, on_served)
        if not choice.postponed:
            self._run_on(batch, on_served)

    def _put_aside(self, batch: IntArray) -> int:
        """Take those that run and are not of the batch out of it; returns the tokens to swap out."""
        jobs = self.jobs
        leaves = jobs.running.copy()
        leaves[batch] = False
        leaving = np.flatnonzero(leaves)
        jobs.preemptions[leaving] += 1
        if self._policy.restarts:
            jobs.discarded[leaving] += jobs.generated[leaving]
            jobs.generated[leaving] = 0
            return 0
        if self._preemption.way is Way.RECOMPUTE:
            return 0
        jobs.swapped[leaving] = True
        return int((jobs.prompt[leaving] + jobs.generated[leaving]).sum())

    def _run_on(self, batch: IntArray, on_served: Callable[[], object]) -> None:
        """Run the same batch on for as long as nothing can change."""
        jobs, step_time = self.jobs, self._profile.step_time
        if not (jobs.present[batch].all() and self._next_arrival() > self.now):
            return
        spans = Spans(
            step_time.base_s + step_time.per_sequence_s * batch.size,
            step_time.per_cached_token_s,
            int((jobs.prompt[batch] + jobs.generated[batch]).sum()),
            batch.size,
        )
        most = int((jobs.output[batch] - jobs.generated[batch]).min())
        most = min(most, self._policy.patience(batch, spans.seconds(1)))
        if self._next_arrival() < math.inf:
            most = min(most, spans.iterations_until(self._next_arrival() - self.now))
        iterations = self._fitting(batch, most)
        if iterations > 0:
            self._advance(batch, iterations, spans.seconds(iterations), on_served)

    def _fitting(self, batch: IntArray, most: int) -> int:
        """How many more iterations, at most `most`, the batch has memory for."""
        if most <= 0 or self._fits(batch, most):
            return most
        fits, overflows = 0, most
        while overflows - fits > 1:
            middle = (fits + overflows) // 2
            if self._fits(batch, middle):
                fits = middle
            else:
                overflows = middle
        return fits

    def _fits(self, batch: IntArray, ahead: int) -> bool:
        return int(blocks_of(self.jobs, batch, ahead, self._profile).sum()) <= self._profile.kv_blocks

    def _advance(
        self, batch: IntArray, iterations: int, seconds: float, on_served: Callable[[], object]
    ) -> None:
        """Let time pass: tokens come, and those with their last one leave."""
        jobs, profile = self.jobs, self._profile
        self.now += seconds
        self._busy_s += seconds
        jobs.generated[batch] += iterations
        if jobs.waiting().size:
            used = int(blocks_of(jobs, batch, 0, profile).sum()) / profile.kv_blocks
            self._backlog_s += seconds
            self._backlog_batch += seconds * batch.size
            self._backlog_kv += seconds * used
            self._backlog_tokens += iterations * batch.size
        for index in batch[jobs.generated[batch] == iterations]:
            if self._served[index].first_at is None:
                self._served[index].first_at = self.now
        done = batch[jobs.generated[batch] >= jobs.output[batch]]
        jobs.present[done] = False
        jobs.running[done] = False
        self._policy.ran(batch, iterations, seconds)
        for index in done:
            self._served[index].last_at = self.now
            self._knowledge.observe(self._trace.requests[index])
            on_served()

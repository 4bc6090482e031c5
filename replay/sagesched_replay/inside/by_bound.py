"""Admission by a bound on each length: H-SF, MC-SF, A_max and A_min as published.

    e = bound of a job: its true length (H-SF), an upper one (A_max; MC-SF), the running lower one (A_min)
    overflow    while Σ over running (prompt + generated + 1) > M: put aside the smallest bound first; its new
                bound is what it had generated, plus one
    admission   waiting by ascending e; the longest prefix with which, at each predicted end d iterations on,
                Σ over jobs with remaining ≥ d of (tokens + d − 1) ≤ M

(MC-SF arXiv 2502.07115; A_max, A_min arXiv 2508.14544.) Nothing overflows where e is never exceeded. A job
that is put aside loses its progress and starts anew.

*Left open by the papers*: a running job past its bound counts as ending with its next token, and its bound in
the order of cancelling is what it has generated; ties go to the later arrival. The other order of cancelling,
largest first, is there to compare. *Here*: KV is counted in blocks, so each job is taken to be as large as
its last block; blocks of one token, as in the papers, make that exact. `ahead_iterations` keeps growth of
everything in flight free on top (0 in the papers).
"""

from __future__ import annotations

from enum import StrEnum

import numpy as np

from sagesched_emulator.profiles import EngineProfile
from sagesched_gateway.scheduling.settings import EvictFirst
from sagesched_predictor.distribution import LengthDistribution
from sagesched_replay.inside.jobs import IntArray, Jobs
from sagesched_replay.inside.order import joining
from sagesched_replay.inside.policy import FOREVER, Choice, InsidePolicy


class Bound(StrEnum):
    """Which bound a job is admitted by."""

    TRUTH = "truth"
    UPPER = "upper"
    LOWER = "lower"


def fits_until_all_end(tokens: IntArray, remaining: IntArray, kv_tokens: int) -> bool:
    """Whether jobs fit together until each has ended.

    Args:
        tokens: what each holds in the next iteration, shape (n,).
        remaining: iterations to the end of each, >= 1, shape (n,).
        kv_tokens: the pool.
    """
    # Sorted by their end; what is still there at an end, tokens grown by then, is a sum from the right.
    order = np.argsort(remaining)
    ends = remaining[order]
    held = np.add.accumulate(tokens[order][::-1])[::-1]
    there = np.arange(order.size, 0, -1)
    is_first = np.ones(order.size, dtype=np.bool_)
    is_first[1:] = ends[1:] != ends[:-1]  # among equal ends the first counts all of them
    at_end = held + there * (ends - 1)
    return bool((at_end[is_first] <= kv_tokens).all())


class ByBound(InsidePolicy):
    """Shortest bound first, admitted by it; cancels on overflow."""

    restarts = True

    def __init__(
        self,
        jobs: Jobs,
        profile: EngineProfile,
        bound: Bound,
        quantile: float = 0.0,
        evict_first: EvictFirst = EvictFirst.SMALLEST,
    ) -> None:
        """Say which bound, and of which quantile where it is predicted; 0 and 1 are the interval's ends."""
        super().__init__(jobs, profile)
        self._bound = bound
        self._quantile = quantile
        self._sign = 1 if evict_first is EvictFirst.SMALLEST else -1
        self._least: IntArray = np.zeros(len(jobs), dtype=np.int64)
        self._pad = profile.block_tokens - 1

    def arrived(self, index: int, lengths: LengthDistribution) -> None:
        """Its bound."""
        predicted = int(self.jobs.output[index])
        if self._bound is not Bound.TRUTH:
            predicted = max(round(lengths.quantile(self._quantile)), 1)
        self._least[index] = predicted

    def choose(self, headroom_iterations: int) -> Choice:
        """Cancel what overflows, then admit."""
        jobs = self.jobs
        batch = self._cancel(jobs.batch())
        self.jobs.key[:] = self._least
        waiting = jobs.waiting()  # those just cancelled still run, so they come back an iteration later
        waiting = waiting[np.lexsort((jobs.arrival[waiting], self._least[waiting]))]
        waiting = waiting[: max(self.profile.max_batch_size - batch.size, 0)]
        wanted = waiting[: self._longest_prefix(batch, waiting, headroom_iterations)]
        joined = joining(jobs, wanted, batch.size, self.profile)
        return Choice(np.concatenate([batch, joined]), joined.size < wanted.size)

    def patience(self, batch: IntArray, iteration_s: float) -> int:
        """What waits may fit in the next iteration already: what starts later has grown less by each end."""
        return 0 if self.jobs.waiting().size else FOREVER

    def _cancel(self, batch: IntArray) -> IntArray:
        """The batch without those that must leave."""
        jobs = self.jobs
        bounds = np.maximum(self._least[batch], jobs.generated[batch])
        last_first = np.lexsort((-jobs.arrival[batch], self._sign * bounds))
        order = batch[last_first]
        blocks = -(-(jobs.prompt[order] + jobs.generated[order] + 1) // self.profile.block_tokens)
        excess = int(blocks.sum()) - self.profile.kv_blocks
        if excess <= 0:
            return batch
        num_leaving = min(int(np.searchsorted(np.add.accumulate(blocks), excess)) + 1, order.size - 1)
        leaving = order[:num_leaving]
        self._least[leaving] = np.maximum(self._least[leaving], jobs.generated[leaving] + 1)
        staying: IntArray = order[num_leaving:]
        return staying

    def _longest_prefix(self, batch: IntArray, waiting: IntArray, headroom: int) -> int:
        """How many of the waiting can join together."""
        fits, step = 0, 1
        while fits + step <= waiting.size and self._fit(batch, waiting[: fits + step], headroom):
            fits, step = fits + step, 2 * step
        too_many = min(fits + step, waiting.size + 1)
        while too_many - fits > 1:
            tried = (fits + too_many) // 2
            if self._fit(batch, waiting[:tried], headroom):
                fits = tried
            else:
                too_many = tried
        # Alone, everybody fits who was let in at all.
        return max(fits, min(1, waiting.size)) if batch.size == 0 else fits

    def _fit(self, batch: IntArray, joined: IntArray, headroom: int) -> bool:
        jobs, profile = self.jobs, self.profile
        everybody = np.concatenate([batch, joined])
        tokens = jobs.prompt[everybody] + jobs.generated[everybody] + 1 + self._pad
        left = np.maximum(self._least[everybody] - jobs.generated[everybody], 1)
        pool = profile.kv_blocks * profile.block_tokens
        grown = np.minimum(tokens + headroom, jobs.prompt[everybody] + jobs.cap[everybody] + self._pad)
        if headroom and int(grown.sum()) > pool:
            return False
        return fits_until_all_end(tokens, left, pool)

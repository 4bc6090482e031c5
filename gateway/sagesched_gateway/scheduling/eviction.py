"""Whom to cancel when KV is about to overflow, and when to look again.

    overflow at k:  Σ over jobs in flight of blocks(tokens + k)  >  kv_blocks,     k = LEAD_ITERATIONS

Only a policy that counts on less than may come (`amin`) cancels: smallest lower bound first, a job's bound
being no less than what it has generated; equal bounds: the later arrival first. It cancels until the rest
fits. What is being cancelled already counts as gone, a job that was cancelled `max_evictions` times is left
alone, and so is one that cannot be taken back (its client has seen part of its answer, or nothing can stop it
in the engine): the engine pauses whom it must then. The last job in flight always fits (what could not run
alone was refused).

*Lead.* A cancelled job holds its blocks until the engine has heard of it and ended an iteration. Cancelling
at the brim would come too late: the engine itself would have paused the latest-started by then.

*When to look.* The estimate of what is held grows by itself, report or no report. After each look the next is
planned half way to the predicted overflow, so a faster engine or a late report is noticed in time and a
distant overflow costs next to nothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from sagesched_gateway.scheduling.admission import Ledger
from sagesched_gateway.scheduling.feasibility import FloatArray, blocks, is_protected
from sagesched_gateway.scheduling.job import LEAVING, Job
from sagesched_gateway.scheduling.policies.base import Policy
from sagesched_gateway.scheduling.reservation import Held
from sagesched_gateway.scheduling.settings import EvictFirst

LEAD_ITERATIONS = 2.0
"""Iterations ahead of an overflow that a job is cancelled: the hop, and the end of the one under way."""

FARTHEST = 2.0**16
"""No look is planned further ahead than so many iterations."""


class Evictor:
    """Chooses victims for one policy.

    Attributes:
        look_at: instant of the next look, seconds; infinity while nothing can overflow.
    """

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self.look_at = math.inf

    def changed(self, ledger: Ledger, now: float) -> None:
        """Something more is in flight, or the limits have changed: look an iteration later."""
        self.look_at = min(self.look_at, now + ledger.capacity.iteration_s)

    def victims(self, jobs: Mapping[str, Job], ledger: Ledger, now: float) -> list[Job]:
        """Jobs to cancel now, in order; plans the next look."""
        self.look_at = math.inf
        capacity = ledger.capacity
        if not ledger.grows or capacity.kv_blocks is None:
            return []
        staying = [held for held in ledger.held(now) if jobs[held.job_id].state not in LEAVING]
        chosen = []
        queue = self._order(staying, jobs)
        while len(staying) > 1 and queue and self._overflows(staying, LEAD_ITERATIONS, ledger):
            victim = queue.pop(0)
            staying.remove(victim)
            chosen.append(jobs[victim.job_id])
        if queue:
            self._plan(staying, ledger, now)
        return chosen

    def _may_go(self, job: Job) -> bool:
        return job.can_be_taken_back and not is_protected(job, self._policy)

    def _order(self, staying: list[Held], jobs: Mapping[str, Job]) -> list[Held]:
        """Those that may be cancelled, first to go first."""
        sign = 1.0 if self._policy.evict_first is EvictFirst.SMALLEST else -1.0

        def key(held: Held) -> tuple[float, float]:
            job = jobs[held.job_id]
            generated = held.tokens - job.need.prompt_tokens - 1
            return (sign * max(float(job.bound or 0), generated), -job.arrival_at)

        # Of equals the one that started last, so from the end of the ledger.
        latest_first = reversed(staying)
        return sorted((h for h in latest_first if self._may_go(jobs[h.job_id])), key=key)

    @staticmethod
    def _overflows(staying: list[Held], ahead: float, ledger: Ledger) -> bool:
        tokens, most = _arrays(staying)
        return _blocks_at(tokens, most, ahead, ledger) > (ledger.capacity.kv_blocks or 0)

    def _plan(self, staying: list[Held], ledger: Ledger, now: float) -> None:
        """Look again half way to the overflow."""
        tokens, most = _arrays(staying)
        kv_blocks = ledger.capacity.kv_blocks or 0
        if blocks(most, ledger.capacity.block_tokens).sum() <= kv_blocks:
            return
        ahead = 1.0
        while ahead < FARTHEST and _blocks_at(tokens, most, LEAD_ITERATIONS + 2 * ahead, ledger) <= kv_blocks:
            ahead *= 2
        self.look_at = now + ahead * ledger.capacity.iteration_s


def _arrays(staying: list[Held]) -> tuple[FloatArray, FloatArray]:
    return (
        np.array([held.tokens for held in staying]),
        np.array([float(held.most_tokens) for held in staying]),
    )


def _blocks_at(tokens: FloatArray, most: FloatArray, ahead: float, ledger: Ledger) -> float:
    """Blocks held so many iterations from now."""
    return float(blocks(np.minimum(tokens + ahead, most), ledger.capacity.block_tokens).sum())

"""Whether what runs, and one more, fits into the KV pool until each is expected to have ended.

    for every d at which a job is expected to end:
        Σ over jobs with remaining ≥ d of blocks(tokens + d − 1)  ≤  kv_blocks

with `tokens` what a job holds in the next iteration (prompt + output + 1) and `remaining` its iterations to
the end it is counted on to have, at least 1. Between ends the left side only grows, so those d suffice. This
is the check of MC-SF, A_max and A_min (arXiv 2502.07115, 2508.14544: there with blocks of one token), made in
addition to the ledger's own: the ledger's headroom looks a few iterations ahead whatever is expected, this
looks as far as the policy's bound reaches.

The check costs a matrix of jobs × ends. So a job found not to fit is looked at again an iteration later, or
when something else than progress has happened.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from sagesched_gateway.scheduling.admission import Ledger
from sagesched_gateway.scheduling.job import LEAVING, Job
from sagesched_gateway.scheduling.policies.base import Policy

FloatArray = npt.NDArray[np.float64]

_ROUNDING = 1e-6


class Growth(NamedTuple):
    """A job that holds `tokens` in the next iteration and is counted on to run `remaining` of them, >= 1."""

    tokens: float
    remaining: int


def blocks(tokens: FloatArray, block_tokens: int) -> FloatArray:
    """KV blocks that so many tokens take, elementwise."""
    return np.ceil(tokens / block_tokens - _ROUNDING)


def is_feasible(growths: Sequence[Growth], kv_blocks: int, block_tokens: int) -> bool:
    """Whether all of these fit together until each has ended."""
    tokens = np.array([growth.tokens for growth in growths]) - 1.0
    remaining = np.array([growth.remaining for growth in growths], dtype=np.float64)
    if blocks(tokens + remaining, block_tokens).sum() <= kv_blocks:
        return True  # even if all peaked at once
    ends = np.unique(remaining)[:, None]
    held = blocks(tokens + ends, block_tokens) * (remaining >= ends)
    return bool((held.sum(axis=1) <= kv_blocks).all())


class Foresight:
    """Asks, for a policy with bounds, whether a job may start."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy

    def admits(self, job: Job, jobs: Mapping[str, Job], ledger: Ledger, now: float) -> bool:
        """Whether a waiting job's growth fits beside that of all jobs in flight.

        True where growth cannot be a question: the policy gives no bound, the engine reserves ahead or tells
        no pool.
        """
        capacity = ledger.capacity
        if not ledger.grows or capacity.kv_blocks is None or job.bound is None:
            return True
        # One token more for each: the reports of an iteration come one after the other, and whoever has not
        # been heard of yet is one further than it seems.
        growths = [
            Growth(held.tokens + 1, self._remaining(jobs[held.job_id], held.tokens))
            for held in ledger.held(now)
        ]
        if not growths:
            return True  # what others hold just now must not keep it out for ever
        growths.append(Growth(job.need.prompt_tokens + 1, self._remaining(job, job.need.prompt_tokens + 1)))
        return is_feasible(growths, capacity.kv_blocks, capacity.block_tokens)

    def _remaining(self, job: Job, tokens: float) -> int:
        """Iterations until the end that a job is counted on to have."""
        if job.state in LEAVING or job.bound is None:
            return 1
        counted = job.need.max_tokens if is_protected(job, self._policy) else job.bound
        return max(round(job.need.prompt_tokens + counted + 1 - tokens), 1)


def policy_note(policy: Policy, ledger: Ledger) -> str | None:
    """Why a policy with bounds cannot work by them on this engine, for people; None where it can."""
    if not policy.has_bounds:
        return None
    if not ledger.grows:
        return (
            f"{policy.name} orders by its bounds but neither admits nor cancels by them: the engine reserves "
            "KV for max_tokens ahead, and that is what counts; batch_scheduler_policy max_utilization "
            "would let it"
        )
    if ledger.capacity.kv_blocks is None:
        return f"{policy.name} orders by its bounds only: the engine does not tell its KV pool"
    return None


def is_protected(job: Job, policy: Policy) -> bool:
    """Whether a job has been cancelled so often that it must not be again."""
    return policy.evict_first is not None and job.evictions >= policy.max_evictions

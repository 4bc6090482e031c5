"""The next batch by key: who fits, who joins, who is put aside.

    order     what runs and is locked, then everybody by key, ties by arrival
    join      the longest prefix of that order that fits with `headroom_iterations` of growth; nobody passes
              the first that does not
    stay      of what runs and what joins, the longest prefix that fits with the iteration to come

So a running request is put aside for another only when memory or slots really run out, and is taken up again
only when there is room to stay. What joins is limited by the engine's tokens per iteration; the rest joins in
the iterations that follow.
"""

from __future__ import annotations

import numpy as np

from sagesched_emulator.profiles import EngineProfile
from sagesched_replay.inside.jobs import IntArray, Jobs
from sagesched_replay.inside.policy import Choice, InsidePolicy


def blocks_of(jobs: Jobs, indices: IntArray, ahead: int, profile: EngineProfile) -> IntArray:
    """KV blocks of these jobs after so many more tokens each, never beyond prompt and cap."""
    generated = np.minimum(jobs.generated[indices] + ahead, jobs.cap[indices])
    blocks: IntArray = -(-(jobs.prompt[indices] + generated) // profile.block_tokens)
    return blocks


def prefill_of(jobs: Jobs, indices: IntArray) -> IntArray:
    """Tokens that have to be prefilled when these join: none of what comes back from host memory."""
    tokens: IntArray = np.where(jobs.swapped[indices], 0, jobs.prompt[indices] + jobs.generated[indices])
    return tokens


def joining(jobs: Jobs, candidates: IntArray, num_staying: int, profile: EngineProfile) -> IntArray:
    """Those at the front of the candidates whose prefill fits into one iteration.

    The first always may: progress can have carried a job beyond the limit.
    """
    budget = profile.max_num_tokens - num_staying
    within = np.add.accumulate(prefill_of(jobs, candidates)) <= budget
    within[:1] = True
    return candidates[within]


def by_key(policy: InsidePolicy, jobs: Jobs, profile: EngineProfile, headroom_iterations: int) -> Choice:
    """Choose by the keys in force."""
    present = np.flatnonzero(jobs.present)
    runs = jobs.running[present]
    free = np.ones(present.size, dtype=np.bool_)
    free[runs] = ~policy.locked(present[runs])
    order = present[np.lexsort((jobs.arrival[present], jobs.key[present], free))]
    slots = np.arange(order.size) < profile.max_batch_size
    grown = np.add.accumulate(blocks_of(jobs, order, headroom_iterations, profile))
    prefix = (grown <= profile.kv_blocks) & slots
    prefix[0] = True
    runs = jobs.running[order]
    wanted = order[prefix & ~runs]
    joined = joining(jobs, wanted, int(np.count_nonzero(runs)), profile)
    takes_part = runs.copy()
    takes_part[np.isin(order, joined)] = True
    batch = order[takes_part]
    needed = np.add.accumulate(blocks_of(jobs, batch, 1, profile))
    stays = (needed <= profile.kv_blocks) & (np.arange(batch.size) < profile.max_batch_size)
    return Choice(batch[stays], joined.size < wanted.size)

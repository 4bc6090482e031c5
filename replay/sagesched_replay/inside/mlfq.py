"""`mlfq`: FastServe's skip-join multi-level feedback queue (arXiv 2305.05920, NSDI 2026).

    level k = 0, 1, 2, …    quantum q_k = q₀ · 2^k                   [seconds of service]
    enters at               the first level whose quantum covers its own prefill
    moves down              when it has used up the quantum of its level
    goes to the top         after `STARVE_S` without service
    key                     level, then arrival

It predicts nothing: whoever has had little service goes first, and skip-join knows that a long prompt will
need more than the top level gives. Proactive swapping is the default `Preemption` with its cost set to what
the bench states (FastServe overlaps it).

*Left open*: q₀. FastServe takes the engine's shortest iteration; here an iteration with an empty cache, its
base time. The ratio 2 and the promotion after 3 s are those of the runs in vllm-ltr's reimplementation;
FastServe gives no number for promotion. In a long overload all but a few wait for more than 3 s and promotion
makes it first come, first served in turns, so benches also run it without (`math.inf`) and report the better.
A promoted request keeps the place of its arrival within the top level, as vllm-ltr does.
"""

from __future__ import annotations

import numpy as np

from sagesched_emulator.profiles import EngineProfile
from sagesched_predictor.distribution import LengthDistribution
from sagesched_replay.inside.jobs import FloatArray, IntArray, Jobs
from sagesched_replay.inside.policy import FOREVER, InsidePolicy

RATIO = 2.0
STARVE_S = 3.0
_LEVEL_APART = 1e7
"""Larger than any arrival, so that levels never mix."""


class Mlfq(InsidePolicy):
    """Least served first, in levels."""

    def __init__(self, jobs: Jobs, profile: EngineProfile, starve_s: float = STARVE_S) -> None:
        """Take the wait after which a request goes to the top, seconds."""
        super().__init__(jobs, profile)
        self._starve_s = starve_s
        self._base_s = profile.step_time.base_s
        self._level: IntArray = np.zeros(len(jobs), dtype=np.int64)
        self._used_s: FloatArray = np.zeros(len(jobs))
        self._served_at: FloatArray = jobs.arrival.copy()
        self._now = 0.0
        self._moved = False

    def quantum_s(self, levels: IntArray) -> FloatArray:
        """Service that these levels give, seconds."""
        quanta: FloatArray = self._base_s * RATIO ** levels.astype(np.float64)
        return quanta

    def arrived(self, index: int, lengths: LengthDistribution) -> None:
        """Skip the levels that its prefill alone would use up."""
        prefill_s = self._base_s + self.profile.step_time.prefill_s_per_token * float(self.jobs.prompt[index])
        self._level[index] = max(0, int(np.ceil(np.log2(prefill_s / self._base_s) - 1e-9)))

    def prepare(self, now: float) -> None:
        """Promote the starved, then key by level and arrival."""
        jobs = self.jobs
        waiting = jobs.waiting()
        starved = waiting[now - self._served_at[waiting] >= self._starve_s]
        self._level[starved] = 0
        self._used_s[starved] = 0.0
        self._served_at[starved] = now
        jobs.key[:] = self._level * _LEVEL_APART + jobs.arrival
        self._now = now
        self._moved = False

    def ran(self, batch: IntArray, iterations: int, seconds: float) -> None:
        """Charge the batch, and move down whoever has used up a quantum."""
        self._now += seconds
        self._served_at[batch] = self._now
        self._used_s[batch] += seconds
        spent = batch[self._used_s[batch] >= self.quantum_s(self._level[batch]) - 1e-12]
        self._level[spent] += 1
        self._used_s[spent] = 0.0
        self._moved |= spent.size > 0

    def patience(self, batch: IntArray, iteration_s: float) -> int:
        """Until a quantum is used up or somebody starves."""
        if self._moved:
            return 0
        left_s = float((self.quantum_s(self._level[batch]) - self._used_s[batch]).min())
        waiting = self.jobs.waiting()
        if waiting.size == 0:
            return FOREVER
        left_s = min(left_s, self._starve_s - (self._now - float(self._served_at[waiting].min())))
        return max(1, min(FOREVER, int(left_s / iteration_s + 1e-9)))

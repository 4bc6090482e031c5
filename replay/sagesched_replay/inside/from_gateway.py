"""Any policy of the gateway, or of `rivals`, inside the engine: the same key, but it may put aside.

    sagesched@engine       G(C − c | C > c), refreshed each 200 generated tokens     (the paper's own setting)
    mean-cost@engine       E[C − c | C > c], refreshed likewise
    ssjf@engine            E[O − g | O > g], refreshed likewise
    gittins-boost@engine   arrival − boost(S − s | S > s), refreshed likewise
    fcfs@engine            arrival: nobody is ever put aside for another; the engine by itself

Because of C(I + g, O − g) = C(I, O) − C(I, g), what remains of a request that has generated g tokens is a
request with prompt I + g and output O − g, so a policy needs no other formula for it.

*Left open by the SageSched paper*: how often (section 3.3 says ten buckets of a request's own cost range,
section 4.1 a bucket of 200, best of a sweep; 200 generated tokens fits both on its range of 2,000), whom to
put aside (the largest key), hysteresis (none but the headroom of `Preemption`; keys stand still between two
refreshes), and what becomes of the index beyond the last atom (see `remaining`).
"""

from __future__ import annotations

import numpy as np

from sagesched_emulator.profiles import EngineProfile
from sagesched_gateway.scheduling.cost import CostShape
from sagesched_gateway.scheduling.policies.base import FloatArray, JobFacts, Moment, Policy
from sagesched_gateway.scheduling.queue import KeyView
from sagesched_predictor.distribution import LengthDistribution
from sagesched_replay.inside.jobs import BoolArray, IntArray, Jobs
from sagesched_replay.inside.policy import FOREVER, InsidePolicy
from sagesched_replay.inside.remaining import remaining

REFRESH_TOKENS = 200


class FromGateway(InsidePolicy):
    """A policy of the gateway that may put aside."""

    def __init__(
        self,
        jobs: Jobs,
        profile: EngineProfile,
        policy: Policy,
        refresh_tokens: int | None = REFRESH_TOKENS,
        preempts: bool = True,
    ) -> None:
        """Take the policy.

        Args:
            jobs: all jobs.
            profile: the engine.
            policy: gives rows and view.
            refresh_tokens: after how many generated tokens a row is made anew; None: never.
            preempts: whether a running request makes room for a better one while there is memory.
        """
        super().__init__(jobs, profile)
        self._preempts = preempts
        self._policy = policy
        self._refresh_tokens = refresh_tokens
        self._capacity = profile.capacity()
        self._shape = CostShape.of(self._capacity)
        self._lengths: dict[int, LengthDistribution] = {}
        self._rows: FloatArray = np.zeros((len(jobs), policy.num_columns))
        self._mean_steps: FloatArray = np.zeros(len(jobs))
        self._refreshes: IntArray = np.zeros(len(jobs), dtype=np.int64)
        self._view: KeyView | None = None
        self._fresh: list[int] = []

    def arrived(self, index: int, lengths: LengthDistribution) -> None:
        """Its row, at nothing generated."""
        self._lengths[index] = lengths
        self._set_row(index)

    def prepare(self, now: float) -> None:
        """Rows of those that have come to a refresh, then keys."""
        jobs = self.jobs
        if self._refresh_tokens is not None:
            refreshes = jobs.generated // self._refresh_tokens
            for index in np.flatnonzero(jobs.present & (refreshes != self._refreshes)):
                self._set_row(int(index))
        present = np.flatnonzero(jobs.present)
        if self._policy.needs_oldest:
            raise ValueError(f"{self._policy.name} ages by waiting and is not for inside an engine")
        waiting = jobs.waiting()
        moment = Moment(
            now,
            self._capacity.iteration_s,
            self._capacity.prefill_s_per_token,
            float(self._mean_steps[waiting].sum()),
            None,
            waiting.size,
            self.profile.max_batch_size,
        )
        view = self._policy.view(moment) if waiting.size else self._view or self._policy.view(moment)
        changed = present if view != self._view else np.array(self._fresh, dtype=np.int64)
        if changed.size:
            jobs.key[changed] = view.keys(jobs.arrival[changed], self._rows[changed])
        self._view = view
        self._fresh.clear()

    def patience(self, batch: IntArray, iteration_s: float) -> int:
        """Until the next of the batch comes to a refresh."""
        if self._refresh_tokens is None:
            return FOREVER
        return int((-self.jobs.generated[batch] % self._refresh_tokens).min())

    def locked(self, indices: IntArray) -> BoolArray:
        """All of them, where it does not preempt."""
        return np.full(indices.size, not self._preempts)

    def _set_row(self, index: int) -> None:
        jobs = self.jobs
        generated, cap = int(jobs.generated[index]), int(jobs.cap[index])
        prompt_tokens = int(jobs.prompt[index]) + generated
        lengths = remaining(self._lengths[index], generated, cap)
        facts = JobFacts(
            arrival_at=float(jobs.arrival[index]),
            prompt_tokens=prompt_tokens,
            max_tokens=max(cap - generated, 1),
            tokens=lengths.tokens,
            weights=lengths.weights,
            steps=self._shape.service_steps(prompt_tokens, max(cap - generated, 1), lengths.tokens),
        )
        self._rows[index] = self._policy.row(facts)
        self._mean_steps[index] = facts.mean_steps
        if self._refresh_tokens is not None:
            self._refreshes[index] = generated // self._refresh_tokens
        self._fresh.append(index)

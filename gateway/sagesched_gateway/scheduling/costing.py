"""`Costing`: what a waiting job is expected to cost, and its row under the policy in force.

A job without a prediction is costed by the pool's distribution; before there is one, by `assumed_lengths`.
Such jobs differ only in prompt and `max_tokens`, so their rows are remembered: a prompt's length is rounded
to five binary digits (3 %) first, an assumption being no more exact than that. That makes submitting cheap
(the prediction comes milliseconds later and replaces the row) and a changed pool distribution cheap for any
number of waiting jobs.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from sagesched_gateway.scheduling.capacity import EngineCapacity
from sagesched_gateway.scheduling.cost import CostShape
from sagesched_gateway.scheduling.job import Job
from sagesched_gateway.scheduling.policies.base import JobFacts, Policy
from sagesched_gateway.scheduling.reservation import Need
from sagesched_predictor.distribution import LengthDistribution

FloatArray = npt.NDArray[np.float64]

MAX_REMEMBERED = 4096
BINARY_DIGITS = 5


@lru_cache(maxsize=1024)
def assumed_lengths(max_tokens: int) -> LengthDistribution:
    """Output lengths assumed before anything is known: spread evenly on a logarithmic scale.

    Equal weights on max_tokens / 64, / 32, … / 1: ignorance of the scale. It keeps what the client did say (a
    small `max_tokens` means a short answer) without taking the cap for a prediction.
    """
    return LengthDistribution.from_samples(max_tokens / 2.0**halvings for halvings in range(7))


def rounded(tokens: int) -> int:
    """To the nearest number of `BINARY_DIGITS` binary digits, at most 3 % away."""
    shift = max(tokens.bit_length() - BINARY_DIGITS, 0)
    return (tokens + (1 << shift >> 1)) >> shift << shift


class Costed(NamedTuple):
    """What a waiting job counts for.

    Attributes:
        row: its row under the policy, shape (num_columns,).
        mean_steps: expected service, engine steps.
        variance_steps: variance of its service, engine steps squared.
        bound: output tokens that the policy counts on; None for policies without bounds.
    """

    row: FloatArray
    mean_steps: float
    variance_steps: float
    bound: int | None


class Costing:
    """Costs jobs for one policy and one engine.

    Attributes:
        policy: the policy in force.
        shape: the engine's cost shape in force.
    """

    def __init__(self, policy: Policy, capacity: EngineCapacity) -> None:
        self.policy = policy
        self.shape = CostShape.of(capacity)
        self._pool: LengthDistribution | None = None
        self._remembered: dict[Need, Costed] = {}

    def use(self, policy: Policy) -> None:
        """Cost for another policy from now on."""
        self.policy = policy
        self._remembered.clear()

    def assume(self, pool: LengthDistribution) -> None:
        """Cost jobs without a prediction by this distribution from now on."""
        self._pool = pool
        self._remembered.clear()

    def follow(self, capacity: EngineCapacity) -> bool:
        """Cost for the engine as now known; returns whether costs moved by more than they are worth."""
        shape = CostShape.of(capacity)
        if shape.is_close_to(self.shape):
            return False
        self.shape = shape
        self._remembered.clear()
        return True

    def cost(self, job: Job) -> Costed:
        """Row and expected service of a job."""
        if job.distribution is not None or job.least_tokens > 1:
            return self._costed(self.facts(job))
        need = Need(rounded(job.need.prompt_tokens), job.need.max_tokens)
        costed = self._remembered.get(need)
        if costed is None:
            if len(self._remembered) >= MAX_REMEMBERED:
                self._remembered.clear()
            costed = self._remembered[need] = self._costed(self.facts(job))
        return costed

    def facts(self, job: Job) -> JobFacts:
        """What the policy may know of a job, with what is assumed where nothing is predicted."""
        prompt_tokens, max_tokens = job.need.prompt_tokens, job.need.max_tokens
        if job.distribution is None:
            prompt_tokens = rounded(prompt_tokens)
        lengths = self.lengths(job)
        bound = self.policy.bound(lengths, job.least_tokens) if self.policy.has_bounds else None
        if job.least_tokens > 1:
            lengths = lengths.given_at_least(job.least_tokens)
        return JobFacts(
            arrival_at=job.arrival_at,
            prompt_tokens=prompt_tokens,
            max_tokens=max_tokens,
            tokens=lengths.tokens,
            weights=lengths.weights,
            steps=self.shape.service_steps(prompt_tokens, max_tokens, lengths.tokens),
            bound=bound,
        )

    def used_steps(self, job: Job, output_tokens: int | None) -> float | None:
        """Service that a job has taken with so many output tokens, engine steps; None where unknown."""
        if output_tokens is None:
            return None
        prompt_tokens, max_tokens = job.need.prompt_tokens, job.need.max_tokens
        tokens = np.array([float(output_tokens)])
        return float(self.shape.service_steps(prompt_tokens, max_tokens, tokens)[0])

    def lengths(self, job: Job) -> LengthDistribution:
        """A job's output length as predicted or assumed, clipped at its `max_tokens`."""
        lengths = job.distribution
        if lengths is None:
            lengths = self._pool or assumed_lengths(job.need.max_tokens)
        return lengths.clipped(job.need.max_tokens)

    def bound(self, job: Job) -> int | None:
        """Output tokens that the policy counts on; None for policies without bounds."""
        if not self.policy.has_bounds:
            return None
        return self.policy.bound(self.lengths(job), job.least_tokens)

    def _costed(self, facts: JobFacts) -> Costed:
        mean = facts.mean_steps
        variance = float((facts.steps * facts.steps) @ facts.weights) - mean * mean
        return Costed(self.policy.row(facts), mean, max(variance, 0.0), facts.bound)

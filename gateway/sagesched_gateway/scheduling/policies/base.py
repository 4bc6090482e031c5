"""What a policy is: a row of offsets per job, and a view that turns rows into keys.

A policy never sees the queue and never starts anything. `row` is asked once per job and prediction, `view`
before each decision; both are pure arithmetic, though a policy may remember what its hysteresis needs.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt

from sagesched_gateway.scheduling.queue import KeyView
from sagesched_gateway.scheduling.settings import EvictFirst
from sagesched_predictor.distribution import LengthDistribution

FloatArray = npt.NDArray[np.float64]


class JobFacts(NamedTuple):
    """What a policy may know of a waiting job: never its true length.

    Attributes:
        arrival_at: seconds.
        prompt_tokens: prompt length, tokens.
        max_tokens: cap on output tokens.
        tokens: atoms of the output length as known now, clipped at `max_tokens`, shape (n,), increasing.
        weights: their probabilities, shape (n,).
        steps: service of each atom in engine steps (see `cost`), shape (n,), increasing.
        bound: `Policy.bound` of its prediction, output tokens; None for policies without one.
    """

    arrival_at: float
    prompt_tokens: int
    max_tokens: int
    tokens: FloatArray
    weights: FloatArray
    steps: FloatArray
    bound: int | None = None

    @property
    def mean_tokens(self) -> float:
        """Expected output tokens."""
        return float(self.tokens @ self.weights)

    @property
    def mean_steps(self) -> float:
        """Expected service, engine steps."""
        return float(self.steps @ self.weights)


class Moment(NamedTuple):
    """What a view may depend on; at least one job waits.

    Attributes:
        now: seconds.
        iteration_s: duration of one engine step, seconds.
        prefill_s_per_token: engine seconds per prompt token.
        backlog_steps: expected service of all waiting jobs, engine steps.
        oldest: the waiting job that arrived first; None unless the policy `needs_oldest`.
        num_waiting: jobs that wait.
        slots: places in the engine's running batch.
    """

    now: float
    iteration_s: float
    prefill_s_per_token: float
    backlog_steps: float
    oldest: JobFacts | None = None
    num_waiting: int = 1
    slots: int = 1


class Policy(ABC):
    """A rule that turns a request and its distribution into a sort key.

    Attributes:
        name: as in `PolicySettings.name`.
        num_columns: length of a row.
        may_pass: whether later jobs may start while the head is blocked on KV (for a bounded time).
        greedy: whether to fill the engine's KV pool almost to the brim, as the engine itself would.
        needs_oldest: whether `view` looks at `Moment.oldest`; its order may then change by waiting alone.
        has_bounds: whether `bound` gives one.
        evict_first: whom to cancel first where KV would overflow; None for policies that never cancel.
        max_evictions: a job cancelled so often is not cancelled again.
    """

    name: ClassVar[str]
    num_columns: ClassVar[int] = 1
    may_pass: ClassVar[bool] = True
    greedy: ClassVar[bool] = False
    needs_oldest: bool = False
    has_bounds: ClassVar[bool] = False
    evict_first: EvictFirst | None = None
    max_evictions: int = 0

    @abstractmethod
    def row(self, facts: JobFacts) -> FloatArray:
        """Offsets of a job, shape (num_columns,), finite."""

    @abstractmethod
    def view(self, moment: Moment) -> KeyView:
        """How rows become keys from now on."""

    def bound(self, lengths: LengthDistribution, least_tokens: int) -> int | None:
        """Output tokens to count on when asking whether a job's growth fits (see `feasibility`).

        Args:
            lengths: the prediction, clipped at `max_tokens`.
            least_tokens: output tokens that it is known to have at least.

        Returns:
            Tokens, or None where the policy leaves that question to the ledger's headroom.
        """
        return None

    @property
    def gamma_per_step(self) -> float | None:
        """The tail rate in force, 1 / engine steps; None for policies without one."""
        return None

"""`InsidePolicy`: what a policy says between two iterations."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NamedTuple

import numpy as np

from sagesched_emulator.profiles import EngineProfile
from sagesched_predictor.distribution import LengthDistribution
from sagesched_replay.inside.jobs import BoolArray, IntArray, Jobs

FOREVER = 1 << 30
"""Iterations for which a policy whose keys never move by themselves is content."""


class Choice(NamedTuple):
    """The next batch.

    Attributes:
        batch: indices of what runs, those that join included.
        postponed: whether more would join but for the limit of tokens per iteration.
    """

    batch: IntArray
    postponed: bool


class InsidePolicy(ABC):
    """Orders jobs by `Jobs.key`; some choose the batch themselves (`choose`).

    Attributes:
        jobs: all jobs.
        profile: the engine.
        restarts: a job that is put aside loses its progress.
    """

    restarts = False

    def __init__(self, jobs: Jobs, profile: EngineProfile) -> None:
        """Begin with nobody present."""
        self.jobs = jobs
        self.profile = profile

    @abstractmethod
    def arrived(self, index: int, lengths: LengthDistribution) -> None:
        """A job has come, with what is predicted of its output, clipped at its cap."""

    def prepare(self, now: float) -> None:
        """Bring the keys of all present jobs up to date; a batch is about to be chosen."""
        return

    def ran(self, batch: IntArray, iterations: int, seconds: float) -> None:
        """The batch has run so many iterations, which took so many seconds."""
        return

    def patience(self, batch: IntArray, iteration_s: float) -> int:
        """Iterations that the running batch may go on for before a key could move by itself, >= 0."""
        return FOREVER

    def locked(self, indices: IntArray) -> BoolArray:
        """Which of these running jobs must not be put aside while there is memory, shape as given."""
        return np.zeros(indices.size, dtype=np.bool_)

    def choose(self, headroom_iterations: int) -> Choice | None:
        """The next batch, where the policy does not leave that to the order of keys."""
        return None

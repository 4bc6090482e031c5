"""How long until everything in flight has ended: the budget of a drain.

    smallest t with  Π over jobs in flight of P(remaining ≤ t | generated) ≥ q,   seconds = t · iteration_s

They run side by side, so the last one counts; lengths are taken as independent given what was generated.

Of what waits, a request that will rather be cut off at the drain's end than be done by then (a probability
below `KEEP_FROM`) is refused at once: another replica can take it now instead of at the end.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from sagesched_predictor.distribution import LengthDistribution

LEFT_BEHIND = "draining"
KEEP_FROM = 0.5


class InFlight(NamedTuple):
    """A job in flight: its predicted length, and the output tokens it has by now."""

    lengths: LengthDistribution
    generated: float


def drain_iterations(jobs: Sequence[InFlight], quantile: float) -> float:
    """Iterations after which all have ended with this probability; 0 when none is in flight.

    Raises:
        ValueError: the quantile is not in (0, 1].
    """
    if not 0.0 < quantile <= 1.0:
        raise ValueError(f"quantile must lie in (0, 1], got {quantile}")
    if not jobs:
        return 0.0
    remaining = [_remaining(job) for job in jobs]
    instants = np.unique(np.concatenate([lengths.tokens for lengths, _ in remaining]))
    all_ended = np.ones_like(instants)
    for lengths, _ in remaining:
        ended = np.concatenate([[0.0], np.cumsum(lengths.weights)])
        all_ended *= ended[np.searchsorted(lengths.tokens, instants, side="right")]
    return float(instants[min(int(np.searchsorted(all_ended, quantile - 1e-9)), instants.size - 1)])


def _remaining(job: InFlight) -> InFlight:
    """Tokens to come: at least one until the engine says that it was the last."""
    lengths = job.lengths.given_at_least(job.generated + 1)
    return InFlight(
        LengthDistribution.from_samples(lengths.tokens - job.generated, lengths.weights), job.generated
    )

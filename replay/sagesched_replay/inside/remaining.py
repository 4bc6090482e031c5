"""What is left of a predicted length once some of it has been generated."""

from __future__ import annotations

from sagesched_predictor.distribution import LengthDistribution


def remaining(lengths: LengthDistribution, generated: int, cap: int) -> LengthDistribution:
    """The distribution of O − generated given O > generated, tokens.

    Where generated tokens exceed every atom the papers are silent. Then as much again is expected, within the
    cap: nothing is known but that it is longer than all that was known, and what has lasted long tends to
    last.
    """
    later = lengths.tokens >= generated + 1  # lengths are whole; atoms of a predictor are means of some
    if not later.any():
        return LengthDistribution.point(max(min(generated, cap - generated), 1))
    weights = lengths.weights[later]
    return LengthDistribution(lengths.tokens[later] - generated, weights / weights.sum())

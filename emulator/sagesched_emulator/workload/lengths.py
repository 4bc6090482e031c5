"""How long answers are: per task, between prompts, and between answers to one prompt.

Two facts of recorded answers shape this. Between prompts of one task, log length is far from normal (answers
of one word beside a bulk of several hundred tokens, and an upper end that models do not cross), so the
typical length of a prompt is read from the fitted quantiles. Between answers to one prompt, log length is
close to normal, but its spread differs from prompt to prompt by factors, so the spread itself is drawn. A few
answers never stop and run into any cap.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

LEVELS = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)
"""Levels of all fitted quantiles."""

RUNAWAY_SHARE = 0.003
"""Share of recorded answers that ran into the publisher's cap."""

RUNAWAY_TOKENS = 15000
"""That cap."""

MAX_SPREAD = 1.2
"""Largest standard deviation of log length drawn for one prompt; recorded prompts hardly exceed it."""

_NORMAL_P90 = 1.2816


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskLengths:
    """Fitted numbers of one task.

    Attributes:
        answer_tokens: typical answer length of a prompt at `LEVELS` over prompts, tokens, each >= 1.
        prompt_tokens: prompt length at `LEVELS` over prompts, tokens.
        spread: median over prompts of the standard deviation of log answer length.
        spread_p90: its 90th percentile, above `spread`.
    """

    answer_tokens: tuple[int, ...]
    prompt_tokens: tuple[int, ...]
    spread: float
    spread_p90: float

    def typical_answer(self, score: float) -> float:
        """Typical answer length, tokens, of a prompt of this length score (standard normal over prompts)."""
        return _at_level(self.answer_tokens, 0.5 * (1 + math.erf(score / math.sqrt(2))))

    def draw_prompt_tokens(self, rng: np.random.Generator) -> int:
        """Length of one prompt, tokens."""
        return round(_at_level(self.prompt_tokens, rng.random()))

    def draw_answers(self, score: float, num: int, rng: np.random.Generator) -> tuple[int, ...]:
        """Lengths of `num` answers to one prompt, tokens, not cut at any cap."""
        scatter = math.log(self.spread_p90 / self.spread) / _NORMAL_P90
        spread = min(self.spread * math.exp(scatter * rng.standard_normal()), MAX_SPREAD)
        lengths = self.typical_answer(score) * np.exp(spread * rng.standard_normal(num))
        runaway = rng.random(num) < RUNAWAY_SHARE
        return tuple(
            int(tokens) for tokens in np.where(runaway, RUNAWAY_TOKENS, np.maximum(np.rint(lengths), 1))
        )


def _at_level(quantiles: tuple[int, ...], level: float) -> float:
    """The quantile between fitted levels, straight in the logarithm."""
    return math.exp(float(np.interp(level, LEVELS, np.log(quantiles))))

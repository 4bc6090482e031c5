"""Step time out of recorded token times, by least squares with coefficients >= 0.

A request that generated O tokens beside others saw O - 1 iterations between its first and its last token:

    last - first = (O - 1) (base + per_sequence N + per_cached K) + per_prompt P

with N the sequences that generated meanwhile and K the tokens that they had cached (means), P the prompt
tokens prefilled meanwhile. Each equation is divided by its left side: relative errors count. Every fifth
request is left out, and the error is that on those. P grows with time whatever the engine does, so a fit that
lays most of the time on it has explained nothing.
"""

from __future__ import annotations

from itertools import combinations
from typing import NamedTuple

import numpy as np

from sagesched_emulator.dataset import DatasetError
from sagesched_emulator.step_time import StepTime
from sagesched_replay.fitting.spans import FEWEST, FloatArray, Occupancy, Spans

FEWEST_TOKENS = 8
LEAST_SPREAD = 1.5
MOST_ERROR = 0.15
MOST_PREFILL = 0.7
_EVERY = 5


class StepFit(NamedTuple):
    """A fit and how good it is.

    Attributes:
        step_time: the coefficients.
        fitted: requests fitted to.
        left_out: requests left out, which the errors are of.
        error_p50: median relative error of their generation time.
        error_p90: its 90th percentile.
        batch: least and most sequences that a request generated beside, 5th and 95th percentile.
    """

    step_time: StepTime
    fitted: int
    left_out: int
    error_p50: float
    error_p90: float
    batch: tuple[float, float]


def fit_step_time(spans: Spans, name: str) -> StepFit:
    """Fit; `name` is the recording's, for messages.

    Raises:
        DatasetError: the recording cannot tell, and why.
    """
    occupancy = Occupancy(spans)
    usable = (spans.whole > 0) & (spans.output >= FEWEST_TOKENS)
    if usable.sum() < FEWEST:
        raise DatasetError(
            f"{name}: {int(usable.sum())} whole answers of {FEWEST_TOKENS} tokens or more, "
            f"{FEWEST} are needed"
        )
    rows, seconds, batch = _equations(spans, occupancy, usable)
    low, high = (float(value) for value in np.quantile(batch, [0.05, 0.95]))
    if high < LEAST_SPREAD * low:
        raise DatasetError(
            f"{name}: requests ran beside {low:.0f} to {high:.0f} others all the time, so it does not show "
            "how step time grows with the batch; use a recording that has idle and busy hours"
        )
    left_out = np.arange(seconds.size) % _EVERY == 0
    scaled = rows / seconds[:, None]
    coefficients = _non_negative(scaled[~left_out])
    errors = np.abs(scaled[left_out] @ coefficients - 1.0)
    p50, p90 = (float(value) for value in np.quantile(errors, [0.5, 0.9]))
    prefill_share = float(np.median(scaled[:, 3] * coefficients[3]))
    if prefill_share > MOST_PREFILL:
        raise DatasetError(
            f"{name}: the best fit would have {prefill_share:.0%} of the time go to prefill; prompts come "
            "in any span, so batch and tokens do not explain this engine's speed"
        )
    if p50 > MOST_ERROR:
        raise DatasetError(
            f"{name}: half of the requests left out of the fit are missed by more than {p50:.0%}: batch and "
            "tokens do not explain this engine's speed (several engines in one file, another load beside it, "
            "or a recording with requests missing?)"
        )
    return StepFit(
        StepTime(*(float(value) for value in coefficients)),
        int((~left_out).sum()),
        int(left_out.sum()),
        p50,
        p90,
        (low, high),
    )


def _equations(
    spans: Spans, occupancy: Occupancy, usable: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Left factors (requests, 4), seconds (requests,), and N (requests,)."""
    begin, end = spans.first[usable], spans.last[usable]
    steps = spans.output[usable] - 1
    count, cached = occupancy.mean_count(begin, end), occupancy.mean_tokens(begin, end)
    order = np.argsort(spans.first)
    prefilled = np.concatenate([[0.0], np.cumsum(spans.prompt[order])])
    firsts = spans.first[order]
    meanwhile = (
        prefilled[np.searchsorted(firsts, end, side="right")]
        - prefilled[np.searchsorted(firsts, begin, side="right")]
    )
    rows = np.stack([steps, steps * count, steps * cached, meanwhile], axis=1)
    return rows, end - begin, count


def _non_negative(rows: FloatArray) -> FloatArray:
    """Least squares of `rows @ x = 1` with x >= 0: the best of all subsets whose solution is positive."""
    ones = np.ones(len(rows))
    best, best_loss = np.zeros(rows.shape[1]), float(len(rows))
    for size in range(1, rows.shape[1] + 1):
        for chosen in combinations(range(rows.shape[1]), size):
            columns = list(chosen)
            scale = np.linalg.norm(rows[:, columns], axis=0)
            if not (scale > 0).all():
                continue
            solution = np.linalg.lstsq(rows[:, columns] / scale, ones, rcond=None)[0] / scale
            if (solution < 0).any():
                continue
            loss = float(((rows[:, columns] @ solution - 1.0) ** 2).sum())
            if loss < best_loss:
                best, best_loss = np.zeros(rows.shape[1]), loss
                best[columns] = solution
    return best

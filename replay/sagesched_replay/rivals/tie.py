"""`tie`: mean plus a share of the tail, with ageing (arXiv 2604.00499, Wuhan University and Dameng).

    score = E[X] + β·CVaR₀.₉[X],   X ~ log-t(μ, σ, ν = 3.5) cut at max_tokens      [tokens]
    β = clip(0.1 · queue length / slots, 0.1, 0.5)
    aged = score · 0.9^(wait / 30 s); smallest first, ties by arrival

The paper predicts μ and σ of each prompt's log-t with a fine-tuned DeBERTa.

*Left open here*: where μ and σ come from. From the distribution that all policies get: the location and scale
of a t with ν fixed that fit the logarithms of its atoms best (EM for the t, which gives outliers less
weight). The paper draws 10,000 samples per score; 1,000 equally probable quantiles are exact enough and draw
nothing. CVaR₀.₉ is the mean of the largest tenth. Ageing: the logarithm of the aged score is ln score + ln
0.9 · wait / 30 s, and what all share of it drops out, so a key is

    ln score + (−ln 0.9 / 30 s) · arrival

and only a changed β moves keys: rows hold it in steps of 0.05. A request whose prediction has not come counts
as `max_tokens` in the paper; here as the core's assumption, for the ten milliseconds until it comes.
"""

from __future__ import annotations

import math

import numpy as np

from sagesched_gateway.scheduling.policies.base import FloatArray, JobFacts, Moment, Policy
from sagesched_gateway.scheduling.queue import KeyView

NU = 3.5
CVAR_TAIL = 0.1
NUM_QUANTILES = 1000
BETAS: FloatArray = np.linspace(0.1, 0.5, 9)
AGEING_PER_S = -math.log(0.9) / 30.0
FIT_ROUNDS = 30
LEAST_SIGMA = 1e-3
"""Of a distribution with one atom; a scale of nothing has no logarithm."""


def t_quantiles(nu: float, count: int) -> FloatArray:
    """Quantiles of Student's t at (k + 1/2) / count, shape (count,), by summing its density."""
    # The density is even; a substitution x = tan(u) folds the tails into a finite interval.
    u = (np.arange(200_000) + 0.5) / 200_000 * (math.pi / 2)
    x = np.tan(u)
    density = (1 + x * x / nu) ** (-(nu + 1) / 2) / np.cos(u) ** 2
    upper = np.add.accumulate(density)
    upper *= 0.5 / upper[-1]
    probabilities = (np.arange(count) + 0.5) / count - 0.5
    quantiles: FloatArray = np.sign(probabilities) * np.interp(np.abs(probabilities), upper, x)
    return quantiles


_QUANTILES = t_quantiles(NU, NUM_QUANTILES)


def fit_t(values: FloatArray, weights: FloatArray, nu: float = NU) -> tuple[float, float]:
    """Location and scale of the t that fits weighted values best; the scale is at least `LEAST_SIGMA`.

    Args:
        values: shape (n,).
        weights: probabilities, shape (n,), summing to 1.
        nu: degrees of freedom.
    """
    mu = float(values @ weights)
    sigma_squared = max(float((values - mu) ** 2 @ weights), LEAST_SIGMA**2)
    for _ in range(FIT_ROUNDS):
        trust = weights * (nu + 1) / (nu + (values - mu) ** 2 / sigma_squared)
        mu = float(trust @ values / trust.sum())
        sigma_squared = max(float(trust @ (values - mu) ** 2), LEAST_SIGMA**2)
    return mu, math.sqrt(sigma_squared)


class Tie(Policy):
    """Mean plus tail, ageing."""

    name = "tie"
    num_columns = BETAS.size

    def row(self, facts: JobFacts) -> FloatArray:
        """Logarithm of the score for each β."""
        mu, sigma = fit_t(np.log(facts.tokens), facts.weights)
        most = math.log(facts.max_tokens)
        lengths = np.exp(np.minimum(mu + sigma * _QUANTILES, most))
        tail = lengths[-round(CVAR_TAIL * NUM_QUANTILES) :]
        row: FloatArray = np.log(lengths.mean() + BETAS * tail.mean())
        return row

    def view(self, moment: Moment) -> KeyView:
        """The column of the β in force."""
        beta = min(max(0.1 * moment.num_waiting / moment.slots, 0.1), 0.5)
        column = int(np.argmin(np.abs(BETAS - beta)))
        return KeyView(column, arrival_weight=AGEING_PER_S, scale=1.0)

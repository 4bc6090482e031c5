"""Gittins-Boost: the head start of a request whose size is known only as a distribution.

With S the service of a request (a random variable, any unit) and γ > 0 the tail rate (1 / that unit),

    boost_γ = (1/γ) · ln sup_τ  E[e^{γS}; S ≤ τ] / (E[e^{γ·min(S,τ)}] − 1)     [unit of S]

and requests are served by the smallest `arrival − boost`. It generalises γ-Boost (Yu, Scully: strongly
tail-optimal scheduling in the light-tailed M/G/1), −(1/γ)·ln(1 − e^{−γs}) for a known size s, as Gittins
generalises shortest first.

*Limit cases.*
- known size s: the supremum is at τ = s, e^{γs} / (e^{γs} − 1), the closed form above;
- γ → 0: γ·boost_γ → −ln γ − ln G with G the Gittins index of S, so differences of boosts dwarf differences of
  arrival and the order is Gittins;
- γ → ∞: boost_γ → 0, first come first served;
- scale: boost_γ(k·S) = k·boost_{kγ}(S), so a boost in engine steps on a grid of γ per step is a boost in
  seconds after one multiplication, whatever the step's duration;
- boost_γ > 0 and falls as γ rises: hence the bound on overtaking in `tail_rate`.

*Numerical care.* The supremum is attained at an atom. With E(s) = e^{γs} − 1, Pₖ = P(S ≤ sₖ), Tₖ = P(S > sₖ),
the ratio at τ = sₖ is 1 + xₖ with

    xₖ = (Pₖ − Tₖ·E(sₖ)) / (Σ_{i≤k} wᵢ·E(sᵢ) + Tₖ·E(sₖ))

so boost = log1p(max xₖ)/γ: no large factor is ever subtracted from another (the plain form loses everything
once γs > 36), small γs keep their digits through expm1, and every sum is of positive terms. Exponents are
capped at `MAX_EXPONENT`: candidates below the cap involve no atom above it except through Tₖ, so they are
exact; those beyond it could add at most e^{−600}, far below one rounding of any arrival time. So nothing
overflows and no NaN can appear.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sagesched_gateway.scheduling.gittins import tails

FloatArray = npt.NDArray[np.float64]

MAX_EXPONENT = 600.0


def gittins_boost(values: FloatArray, weights: FloatArray, gammas: FloatArray) -> FloatArray:
    """Head start for each tail rate.

    Args:
        values: atoms of S, shape (n,), non-decreasing, > 0.
        weights: their probabilities, shape (n,), > 0, summing to 1.
        gammas: tail rates, shape (g,), increasing, > 0, in 1 / unit of `values`.

    Returns:
        Boosts, shape (g,), in the unit of `values`; finite and >= 0.
    """
    # Atoms run along the first axis: sums and maxima over it are additions of whole rows.
    growth = np.multiply.outer(values, gammas)
    if values[-1] * gammas[-1] > MAX_EXPONENT:
        np.minimum(growth, MAX_EXPONENT, out=growth)
    np.expm1(growth, out=growth)
    beyond = growth * tails(weights)[:, np.newaxis]
    growth *= weights[:, np.newaxis]
    paid = np.add.accumulate(growth, axis=0)
    paid += beyond
    gained = np.subtract(np.add.accumulate(weights)[:, np.newaxis], beyond, out=beyond)
    gained /= paid
    excess = np.maximum.reduce(gained, axis=0)
    boosts: FloatArray = np.log1p(excess) / gammas
    return boosts


def known_size_boost(size: float, gamma: float) -> float:
    """Closed form for a known size: −(1/γ)·ln(1 − e^{−γs})."""
    return float(-np.log(-np.expm1(-gamma * size)) / gamma)

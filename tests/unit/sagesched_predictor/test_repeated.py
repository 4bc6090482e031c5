from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sagesched_predictor.prior import LEVELS
from sagesched_predictor.repeated import NONE_EARLIER, Earlier, Repeats

MIDDLE, SPREAD = 5.0, 0.8
NORMAL = np.array([NormalDist(MIDDLE, SPREAD).inv_cdf(level) for level in LEVELS])
LOGS = st.floats(0, 14)


def answers(*log_tokens: float, censored: bool = False) -> Earlier:
    return Earlier(np.array(log_tokens), np.full(len(log_tokens), censored))


def taught(rho: float, rounds: int = 2_000, narrower: float = 1.0) -> Repeats:
    """Repeats of a pool where answers to one prompt go together by `rho`."""
    rng, repeats = np.random.default_rng(0), Repeats(LEVELS)
    for _ in range(rounds):
        count = int(rng.integers(1, 5))
        own = rng.normal(0, np.sqrt(rho))
        logs = MIDDLE + narrower * SPREAD * (own + rng.normal(0, np.sqrt(1 - rho), size=count + 1))
        repeats.learn(NORMAL, answers(*logs[:-1]), answers(logs[-1]))
    return repeats


@pytest.mark.parametrize("rho", [0.1, 0.5, 0.9])
def test_learns_how_far_answers_to_one_prompt_go_together(rho: float) -> None:
    assert taught(rho).correlation == pytest.approx(rho, abs=0.12)


def test_what_has_nothing_in_common_changes_nothing() -> None:
    moved = taught(0.0).corrected(NORMAL, answers(MIDDLE + 2 * SPREAD))
    assert moved == pytest.approx(NORMAL, abs=0.3 * SPREAD)


@pytest.mark.parametrize("count", [1, 3])
def test_quantiles_are_as_far_as_the_next_answer_goes(count: int) -> None:
    rng, rho, repeats = np.random.default_rng(1), 0.6, taught(0.6)
    below = []
    for _ in range(3_000):
        own = rng.normal(0, np.sqrt(rho))
        logs = MIDDLE + SPREAD * (own + rng.normal(0, np.sqrt(1 - rho), size=count + 1))
        below.append(logs[-1] < repeats.corrected(NORMAL, answers(*logs[:-1])))
    assert np.mean(below, axis=0) == pytest.approx(np.array(LEVELS), abs=0.05)


def test_what_was_too_wide_is_narrowed() -> None:
    """Residuals half as large as told leave a quarter of the variance, whatever they have in common."""
    narrow, fair = (taught(0.5, narrower=part).corrected(NORMAL, answers(MIDDLE)) for part in (0.5, 1.0))
    assert np.ptp(narrow) == pytest.approx(np.ptp(fair) / 2, rel=0.15)


def test_without_earlier_answers_nothing_is_changed_or_learned() -> None:
    repeats = Repeats(LEVELS)
    repeats.learn(NORMAL, NONE_EARLIER, answers(7.0))
    assert repeats.correlation == Repeats(LEVELS).correlation
    assert repeats.corrected(NORMAL, NONE_EARLIER) is NORMAL
    assert repeats.gain(0) == 0


def test_an_answer_that_was_cut_off_counts_for_longer_than_its_cut() -> None:
    repeats = taught(0.7)
    cut = repeats.corrected(NORMAL, answers(MIDDLE, censored=True))
    whole = repeats.corrected(NORMAL, answers(MIDDLE))
    assert (cut > whole + 0.2 * SPREAD).all()
    long_past = repeats.corrected(NORMAL, answers(0.0, censored=True))
    assert long_past == pytest.approx(whole, abs=0.2 * SPREAD)  # a cut that early says next to nothing


@given(
    st.lists(LOGS, min_size=len(LEVELS), max_size=len(LEVELS)),
    st.lists(st.tuples(st.lists(LOGS, min_size=1, max_size=4), LOGS, st.booleans()), max_size=8),
    st.lists(LOGS, min_size=1, max_size=4),
)
def test_quantiles_stay_in_order_and_finite(
    levels: list[float], learned: list[tuple[list[float], float, bool]], earlier: list[float]
) -> None:
    quantiles, repeats = np.sort(levels), Repeats(LEVELS)
    for before, now, cut in learned:
        repeats.learn(quantiles, answers(*before, censored=cut), answers(now, censored=cut))
    assert 0 <= repeats.correlation < 1
    moved = repeats.corrected(quantiles, answers(*earlier))
    assert np.isfinite(moved).all()
    assert (np.diff(moved) >= -1e-9).all()

from __future__ import annotations

import numpy as np
import pytest

from sagesched_predictor.survival import expected_above, product_limit, quantiles


def test_without_cuts_it_is_the_plain_distribution() -> None:
    values, mass = product_limit(
        np.array([3.0, 1.0, 2.0]), np.zeros(3, dtype=bool), np.array([1.0, 1.0, 2.0])
    )
    assert values.tolist() == [1, 2, 3]
    assert mass == pytest.approx([0.25, 0.5, 0.25])


def test_the_textbook_example() -> None:
    # Steps of Kaplan and Meier, 1958, section 2: deaths at 0.8, 3.1, 5.4, 9.2; losses at 1.0, 2.7, 7.0, 12.1.
    values = np.array([0.8, 1.0, 2.7, 3.1, 5.4, 7.0, 9.2, 12.1])
    cut = np.array([False, True, True, False, False, True, False, True])
    _, mass = product_limit(values, cut, np.ones(8))
    survival = 1 - np.cumsum(mass)
    assert survival[[0, 3, 4, 6]] == pytest.approx([7 / 8, 7 / 10, 21 / 40, 21 / 80])
    assert survival[-1] == pytest.approx(0)  # what is left lies on the longest cut


def test_a_cut_at_the_length_of_an_answer_comes_after_it() -> None:
    _, mass = product_limit(np.array([5.0, 5.0, 9.0]), np.array([True, False, False]), np.ones(3))
    assert mass == pytest.approx([1 / 3, 0, 2 / 3])


def test_undoes_the_bias_of_a_cap() -> None:
    rng = np.random.default_rng(0)
    lengths = rng.lognormal(5, 1, size=4000)
    caps = rng.choice([50.0, 200.0, 800.0, 1e9], size=4000)
    seen, cut = np.minimum(lengths, caps), lengths > caps
    truth = np.median(lengths)
    values, mass = product_limit(seen, cut, np.ones(4000))
    assert quantiles(values, mass, 0.5) == pytest.approx(truth, rel=0.06)
    assert np.median(seen[~cut]) < 0.85 * truth  # leaving the cut ones out
    assert np.median(seen) < 0.8 * truth  # taking the cut for the length


def test_what_lies_above() -> None:
    values, mass = np.array([1.0, 2.0, 3.0]), np.array([0.5, 0.25, 0.25])
    assert expected_above(values, mass, np.array([0.0, 1.0, 2.5, 3.0, 7.0])) == pytest.approx(
        [1.75, 2.5, 3, 3, 7]
    )

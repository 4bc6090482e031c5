from __future__ import annotations

import numpy as np
import pytest

from sagesched_predictor.calibration import ASSESS_EVERY, Calibration
from sagesched_predictor.distribution import LengthDistribution
from sagesched_predictor.rescale import Rescale
from sagesched_predictor.trust import YOUNG_ANSWERS, Trust
from sagesched_predictor.usefulness import Usefulness


def predicted(median: float, width: float = 0.7) -> LengthDistribution:
    middles = (np.arange(64) + 0.5) / 64
    noise = np.log(middles / (1 - middles)) / 1.7
    return LengthDistribution.from_samples(np.exp(np.log(median) + width * noise))


class Pool:
    """Requests one after the other, each ended `delay` requests after its start."""

    def __init__(self, seed: int = 0, delay: int = 0, tolerance: float = 0.05) -> None:
        self.calibration = Calibration(tolerance)
        self.rng = np.random.default_rng(seed)
        self.delay = delay
        self.running: list[tuple[str, int, float]] = []
        self.number = 0
        self.told: list[int] = []

    def serve(self, count: int, factor: float = 1.0, width: float = 0.7) -> None:
        for _ in range(count):
            self.number += 1
            median = float(np.exp(self.rng.normal(5, 1)))
            raw = predicted(median)
            used = self.calibration.verdict.rescale.apply(raw)
            noise = np.log(1 / self.rng.uniform(0.001, 0.999) - 1) / 1.7
            tokens = max(1, round(factor * float(np.exp(np.log(median) + width * noise))))
            self.calibration.started(str(self.number), raw, used)
            self.running.append((str(self.number), tokens, median))
            if len(self.running) > self.delay:
                request_id, length, _ = self.running.pop(0)
                if self.calibration.ended(request_id, length, censored=False):
                    before = self.calibration.verdict.calibrated
                    after = self.calibration.assess({one: 1 for one, *_ in self.running}.get).calibrated
                    if before != after:
                        self.told.append(self.number)


@pytest.mark.parametrize("seed", range(4))
def test_says_nothing_of_predictions_that_hold(seed: int) -> None:
    pool = Pool(seed)
    pool.serve(2000)
    assert pool.told == []
    assert pool.calibration.verdict.rescale.is_identity
    assert pool.calibration.verdict.coverage[0.9] == pytest.approx(0.9, abs=0.07)


@pytest.mark.parametrize("factor", [2.0, 0.5, 6.0])
def test_a_model_that_changes_its_length_is_rescaled(factor: float) -> None:
    pool = Pool(delay=16)
    pool.serve(400)
    pool.serve(200, factor)
    verdict = pool.calibration.verdict
    assert not verdict.calibrated
    assert verdict.rescale.factor == pytest.approx(factor, rel=0.3)
    assert ("longer" if factor > 1 else "shorter") in verdict.reason
    pool.serve(300, factor)
    assert pool.calibration.verdict.coverage[0.9] == pytest.approx(0.9, abs=0.08)
    pool.serve(400)
    assert pool.calibration.verdict.calibrated
    assert pool.calibration.verdict.rescale.is_identity


def test_intervals_that_are_too_narrow_are_stretched() -> None:
    pool = Pool()
    pool.serve(400, width=1.6)
    verdict = pool.calibration.verdict
    assert not verdict.calibrated
    assert verdict.rescale.stretch > 1.6
    pool.serve(300, width=1.6)
    assert pool.calibration.verdict.coverage[0.8] == pytest.approx(0.8, abs=0.09)


def test_what_still_runs_counts_as_at_least_so_long() -> None:
    """Only the short half has ended: no reason to believe that answers became short."""
    calibration = Calibration()
    rng = np.random.default_rng(1)
    tokens_so_far: dict[str, int] = {}
    for number in range(200):
        raw = predicted(200)
        length = int(rng.choice(raw.tokens, p=raw.weights))
        calibration.started(str(number), raw, raw)
        if length <= 200:
            calibration.ended(str(number), length, censored=False)
        else:
            tokens_so_far[str(number)] = 200
    verdict = calibration.assess(tokens_so_far.get)
    assert verdict.answers < 150
    assert verdict.calibrated
    assert not calibration.assess({}.get).calibrated  # completions alone, and the rest forgotten


def test_order_is_kept_by_rescaling() -> None:
    rescale = Rescale(shift=float(np.log(2)), stretch=1.5)
    medians = [rescale.apply(predicted(median)).quantile(0.5) for median in (10, 20, 40)]
    assert medians == sorted(medians)
    assert medians[0] == pytest.approx(2 * predicted(10).quantile(0.5))
    capped = rescale.apply(predicted(100), max_tokens=150)
    assert capped.tokens[-1] == 150


def correlated(judge: Usefulness, count: int, rho: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    for _ in range(count):
        x = rng.normal()
        y = rho * x + (1 - rho**2) ** 0.5 * rng.normal()
        judge.ended(float(np.exp(x)), round(float(np.exp(5 + y))) + 1, censored=bool(rng.random() < 0.1))


@pytest.mark.parametrize("seed", range(3))
def test_an_order_is_given_up_and_taken_back(seed: int) -> None:
    judge = Usefulness()
    correlated(judge, 1000, 0.6, seed)
    assert judge.useful
    assert judge.concordance == pytest.approx(0.41, abs=0.12)
    correlated(judge, 500, 0.0, seed + 10)
    assert not judge.useful
    assert "by chance" in judge.reason
    correlated(judge, 300, 0.6, seed + 20)
    assert judge.useful
    assert judge.reason == ""


def test_equal_predictions_say_nothing_about_order() -> None:
    judge = Usefulness()
    for number in range(2000):
        judge.ended(7.0, number % 50 + 1, censored=False)
    assert judge.useful
    assert judge.concordance is None


def test_the_young_are_not_judged_and_the_gone_are_forgotten() -> None:
    trust = Trust()
    raw = predicted(1000)
    for number in range(YOUNG_ANSWERS):
        trust.started(str(number), "m", raw, raw)
        trust.ended(str(number), 1, censored=False, tokens_of={}.get)
    assert trust.report.calibrated
    trust.started("gone", "m", raw, raw)
    trust.forget("gone")
    assert not trust.ended("gone", 1, censored=False, tokens_of={}.get)
    for number in range(1000, 1000 + 200):
        trust.started(str(number), "m", raw, trust.adjusted("m", raw, 4096))
        trust.ended(str(number), 1, censored=False, tokens_of={}.get)
    assert not trust.report.calibrated
    assert trust.report.reason.startswith("m: ")
    assert trust.adjusted("m", raw, 4096).quantile(0.5) < raw.quantile(0.5) / 8
    assert trust.adjusted("other", raw, 4096) is raw
    assert ASSESS_EVERY < 200

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from sagesched_predictor.online_head import Answers, OnlineHead
from sagesched_predictor.prior import LEVELS

LOW, MIDDLE, HIGH = LEVELS.index(0.05), LEVELS.index(0.5), LEVELS.index(0.95)


class Traffic:
    """Prompts whose length follows from where they point and from one number, with noise that depends too."""

    def __init__(self, n: int, seed: int = 0, noise: float = 0.4) -> None:
        rng = np.random.default_rng(seed)
        vectors = rng.normal(size=(n, 16))
        self.embeddings = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
        self.vectors = rng.normal(size=(n, 5)).astype(np.float32)
        self.middles = 5 + 2 * self.embeddings[:, 0] + np.tanh(self.vectors[:, 0])
        self.widths = np.where(self.vectors[:, 1] > 0, 2 * noise, noise / 2)
        self.log_tokens = self.middles + self.widths * rng.normal(size=n)

    def answers(self, caps: float | np.ndarray = np.inf, offsets: float = 0.0) -> Answers:
        n = len(self.log_tokens)
        return Answers(
            embeddings=self.embeddings,
            vectors=self.vectors,
            log_tokens=np.minimum(self.log_tokens, caps),
            censored=self.log_tokens > caps,
            offsets=np.full(n, offsets),
            prompt_tokens=np.arange(n),
        )

    def predicted(self, head: OnlineHead, offsets: float = 0.0) -> np.ndarray:
        return head.predict(self.embeddings, self.vectors, np.full(len(self.vectors), offsets))


SEEN, ASKED = Traffic(800, seed=1), Traffic(400, seed=2)


def coverage(quantiles: np.ndarray, traffic: Traffic = ASKED) -> float:
    inside = (traffic.log_tokens >= quantiles[:, LOW]) & (traffic.log_tokens <= quantiles[:, HIGH])
    return float(inside.mean())


def test_learns_what_decides_and_how_sure_it_may_be() -> None:
    quantiles = ASKED.predicted(OnlineHead(SEEN.answers(), LEVELS))
    assert np.corrcoef(quantiles[:, MIDDLE], ASKED.middles)[0, 1] > 0.9
    assert coverage(quantiles) == pytest.approx(0.9, abs=0.035)
    widths = quantiles[:, HIGH] - quantiles[:, LOW]
    assert np.median(widths[ASKED.widths > 0.5]) > 1.3 * np.median(widths[ASKED.widths < 0.5])


def test_quantiles_increase() -> None:
    quantiles = ASKED.predicted(OnlineHead(Traffic(17, seed=3).answers(), LEVELS))
    assert (np.diff(quantiles, axis=1) >= 0).all()
    assert np.isfinite(quantiles).all()


def test_a_cap_on_answers_does_not_make_predictions_short() -> None:
    n = len(SEEN.log_tokens)
    caps = np.quantile(SEEN.log_tokens, np.random.default_rng(4).choice([0.25, 0.6, 1.0], size=n))
    answers = SEEN.answers(caps=caps)
    aware = ASKED.predicted(OnlineHead(answers, LEVELS))
    as_lengths = Answers(
        embeddings=answers.embeddings,
        vectors=answers.vectors,
        log_tokens=answers.log_tokens,
        censored=np.zeros_like(answers.censored),
        offsets=answers.offsets,
        prompt_tokens=answers.prompt_tokens,
    )
    naive = ASKED.predicted(OnlineHead(as_lengths, LEVELS))
    bias_aware = float(np.mean(aware[:, MIDDLE] - ASKED.middles))
    bias_naive = float(np.mean(naive[:, MIDDLE] - ASKED.middles))
    assert abs(bias_aware) < 0.15
    assert bias_naive < -0.2
    assert coverage(aware) == pytest.approx(0.9, abs=0.05)


def test_recent_residuals_set_the_level() -> None:
    answers = SEEN.answers()
    shifted = answers.log_tokens.copy()
    shifted[-600:] += np.log(2)
    moved = Answers(
        embeddings=answers.embeddings,
        vectors=answers.vectors,
        log_tokens=shifted,
        censored=answers.censored,
        offsets=answers.offsets,
        prompt_tokens=answers.prompt_tokens,
    )
    quantiles = ASKED.predicted(OnlineHead(moved, LEVELS))
    assert np.median(quantiles[:, MIDDLE] - ASKED.middles) == pytest.approx(np.log(2), abs=0.2)


def test_the_scale_of_the_prior_is_corrected() -> None:
    head = OnlineHead(SEEN.answers(offsets=9.0), LEVELS)
    quantiles = ASKED.predicted(head, offsets=9.0)
    assert np.mean(quantiles[:, MIDDLE] - ASKED.middles) == pytest.approx(0, abs=0.1)


def test_a_prompt_that_came_often_makes_nobody_sure_of_others() -> None:
    """Where prompts have something of their own, their earlier answers tell what those of others do not."""
    prompts, others, times = Traffic(160, seed=5, noise=0.0), Traffic(400, seed=7, noise=0.0), 5
    rng = np.random.default_rng(6)
    own = np.tile(rng.normal(scale=0.5, size=160), times)
    often = Answers(
        embeddings=np.tile(prompts.embeddings, (times, 1)),
        vectors=np.tile(prompts.vectors, (times, 1)),
        log_tokens=np.tile(prompts.middles, times) + own + rng.normal(scale=0.1, size=160 * times),
        censored=np.zeros(160 * times, dtype=np.bool_),
        offsets=np.zeros(160 * times),
        prompt_tokens=np.tile(np.arange(160), times),
    )
    others.log_tokens += rng.normal(scale=0.5, size=400)
    assert coverage(others.predicted(OnlineHead(often, LEVELS)), others) == pytest.approx(0.9, abs=0.05)
    one_by_one = OnlineHead(replace(often, prompt_tokens=np.arange(160 * times)), LEVELS)
    assert coverage(others.predicted(one_by_one), others) < 0.7


def test_the_same_records_give_the_same_head() -> None:
    one, other = (ASKED.predicted(OnlineHead(SEEN.answers(), LEVELS)) for _ in range(2))
    assert (one == other).all()


@pytest.mark.parametrize("length", [1, 100_000])
def test_one_prompt_over_and_over_does_no_harm(length: int) -> None:
    same = Answers(
        embeddings=np.tile(SEEN.embeddings[:1], (50, 1)),
        vectors=np.tile(SEEN.vectors[:1], (50, 1)),
        log_tokens=np.full(50, np.log(length)),
        censored=np.arange(50) % 3 == 0,
        offsets=np.zeros(50),
        prompt_tokens=np.zeros(50, dtype=np.int64),
    )
    quantiles = OnlineHead(same, LEVELS).predict(SEEN.embeddings[:1], SEEN.vectors[:1], np.zeros(1))
    assert np.isfinite(quantiles).all()
    assert quantiles[0, MIDDLE] == pytest.approx(np.log(length), abs=0.4)

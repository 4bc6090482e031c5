"""The baseline that a predictor must beat: ridge regression of the log length on TF-IDF of words and pairs.

It is given the same data: what the prior was trained on, and the answers observed. Several ways of using them
are fitted, and the one that orders best in hindsight is taken, which is more than a user could have.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import Ridge

from sagesched_predictor.scores import kendall_tau
from sagesched_predictor.training.examples import TrainingExample

FloatArray = npt.NDArray[np.float64]
ALPHAS = (1.0, 3.0)


def prior_targets(examples: Sequence[TrainingExample]) -> tuple[list[str], FloatArray]:
    """Prompts and the mean log length of their answers, each model's own mean taken out."""
    logs = [float(np.mean(np.log(example.lengths))) for example in examples]
    by_model: dict[str, list[float]] = defaultdict(list)
    for example, value in zip(examples, logs, strict=True):
        by_model[example.model].append(value)
    means = {model: np.mean(values) for model, values in by_model.items()}
    by_prompt: dict[str, list[float]] = defaultdict(list)
    for example, value in zip(examples, logs, strict=True):
        by_prompt[example.prompt].append(value - float(means[example.model]))
    return list(by_prompt), np.array([np.mean(values) for values in by_prompt.values()])


class TfIdfRidge:
    """Fitted to a prior's data once; adapted to observed answers as often as asked."""

    def __init__(self, examples: Sequence[TrainingExample]) -> None:
        castillo = [example for example in examples if example.model.startswith("castillo/")]
        self._priors = [_Fit(*prior_targets(part), ALPHAS[0]) for part in (examples, castillo)]

    def best_tau(
        self, asked: Sequence[str], actual: FloatArray, seen: Sequence[str], lengths: Sequence[int]
    ) -> float:
        """Kendall's tau of the best of its ways on the prompts asked for."""
        ways = [fit(asked) for fit in self._priors]
        if len(seen):
            logs = np.log(np.maximum(np.array(lengths, dtype=np.float64), 1))
            for alpha in ALPHAS:
                ways.append(_Fit(seen, logs, alpha)(asked))
                ways += [f(asked) + _Fit(seen, logs - f(seen), alpha)(asked) for f in self._priors]
        return max(kendall_tau(way, actual) for way in ways)


class _Fit:
    def __init__(self, texts: Sequence[str], targets: FloatArray, alpha: float) -> None:
        self._words = TfidfVectorizer(sublinear_tf=True, ngram_range=(1, 2), min_df=1, max_features=60_000)
        self._ridge = Ridge(alpha=alpha).fit(self._words.fit_transform(texts), targets)

    def __call__(self, texts: Sequence[str]) -> FloatArray:
        predicted: FloatArray = self._ridge.predict(self._words.transform(texts))
        return predicted

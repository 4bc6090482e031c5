"""Fitting the network: which answers make a batch, and the steps of the optimiser.

Every prompt is drawn by the square root of the size of its set, so that seven thousand exam questions do not
outvote four hundred instructions. Of each drawn prompt a few answers are taken, whoever gave them.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from sagesched_predictor.request_features import request_vector
from sagesched_predictor.training import network
from sagesched_predictor.training.examples import TrainingExample
from sagesched_predictor.training.familiarity import NUM_DRAWN, STRANGENESS, anchors_of, with_strangeness
from sagesched_predictor.training.naming import named_models
from sagesched_predictor.training.network import FloatMatrix, Parameters
from sagesched_predictor.training.shape import DIMENSION, FEATURE_LIMIT, PROJECTED

WARM_UP_STEPS = 200
# Share of the widest direction's variance below which a direction is not whitened further.
SMALLEST_DIRECTION = 0.005
# Of the answers of models that keep a name, those that count as the population's instead of their model's.
POPULATION_SHARE = 0.3


@dataclass(frozen=True, slots=True)
class FitOptions:
    """How to fit.

    Attributes:
        seed: decides everything that is drawn.
        steps: of the optimiser.
        batch: prompts per step.
        answers: answers drawn per prompt and step.
        rate: learning rate at its height.
        dropout: share of inputs left out.
        decay: weight decay of the matrices, per unit of rate.
        shift_penalty: keeps models near the population.
        set_power: a set of n prompts is drawn as if it had n to this power.
    """

    seed: int = 0
    steps: int = 2500
    batch: int = 256
    answers: int = 12
    rate: float = 2e-3
    dropout: float = 0.2
    decay: float = 1e-2
    shift_penalty: float = 1e-4
    set_power: float = 0.5


@dataclass(frozen=True, slots=True)
class Fitted:
    """A fitted network with what its inputs have to go through first.

    Attributes:
        parameters: of `network`, numpy arrays.
        models: names; the first has number 1 in `shift`.
        pooled_mean: subtracted from the pooled layers.
        pooled_scale: multiplied then.
        projection: standardised pooled layers -> whitened directions, float32 (pooled, PROJECTED).
        feature_mean: subtracted from the features.
        feature_scale: multiplied then; 0 for a feature that never varied in training.
        anchors: centres of the training prompts' embeddings, float32 (anchors, DIMENSION).
    """

    parameters: Parameters
    models: tuple[str, ...]
    pooled_mean: FloatMatrix
    pooled_scale: FloatMatrix
    projection: FloatMatrix
    feature_mean: FloatMatrix
    feature_scale: FloatMatrix
    anchors: FloatMatrix

    def standardised(self, features: FloatMatrix) -> FloatMatrix:
        """Features as the head takes them."""
        scaled = (features - self.feature_mean) * self.feature_scale
        kept: FloatMatrix = np.clip(scaled, -FEATURE_LIMIT, FEATURE_LIMIT).astype(np.float32)
        return kept

    def embed(self, pooled: FloatMatrix) -> FloatMatrix:
        """Embeddings as the exported encoder gives them."""
        standardised = (pooled - self.pooled_mean) * self.pooled_scale
        return np.asarray(network.embed(self.parameters, standardised, standardised @ self.projection))

    def predict(
        self,
        embeddings: FloatMatrix,
        features: FloatMatrix,
        model: str | None = None,
        strangeness: float = STRANGENESS,
    ) -> tuple[FloatMatrix, FloatMatrix]:
        """Log quantiles and representation as the exported head gives them."""
        common, representation = network.quantiles(self.parameters, embeddings, self.standardised(features))
        number = 0 if model is None or model not in self.models else self.models.index(model) + 1
        models = np.full((len(embeddings), 1), number)
        wide = {**self.parameters, "width": network.widened(self.parameters)}
        quantiles = np.asarray(network.of_models(wide, common, representation, models)[:, 0])
        return with_strangeness(quantiles, embeddings, self.anchors, strangeness), np.asarray(representation)


@dataclass(frozen=True, slots=True)
class _Request:
    """One prompt with one setting of the caller; answers are rows of (model, log length, is cut)."""

    member: int
    vector: FloatMatrix
    answers: FloatMatrix


def fit(
    examples: Sequence[TrainingExample],
    table: FloatMatrix,
    rows: Sequence[int],
    options: FitOptions | None = None,
    on_step: Callable[[int, float], object] = lambda step, value: None,
) -> Fitted:
    """Fit the network; the same arguments give the same numbers.

    Args:
        examples: at least one.
        table: pooled layers of prompts, float32 (prompts, width).
        rows: each example's row in the table.
        options: how to fit.
        on_step: called after each step with its number and loss.
    """
    options = options or FitOptions()
    rng = np.random.default_rng(options.seed)
    models = tuple(sorted({example.model for example in examples}))
    requests, shares = _requests(examples, models, options.set_power)
    pooled = table[[rows[request.member] for request in requests]]
    vectors = np.stack([request.vector for request in requests])
    statistics = _statistics(pooled, vectors)
    standardised = (pooled - statistics["pooled_mean"]) * statistics["pooled_scale"]
    projected = standardised @ statistics["projection"]
    first = network.initial(rng, pooled.shape[1], vectors.shape[1], len(models))
    fitted = Fitted(first, models, **statistics, anchors=np.zeros((1, DIMENSION), dtype=np.float32))
    features = fitted.standardised(vectors)
    named = _numbers_of_named(models)

    def batch() -> dict[str, Any]:
        chosen = rng.choice(len(requests), options.batch, p=shares)
        answers = np.stack([_drawn(requests[i].answers, options.answers, rng) for i in chosen])
        for_all = (rng.random(answers.shape[:2]) < POPULATION_SHARE) & np.isin(answers[:, :, 0], named)
        return {
            "pooled": standardised[chosen],
            "projected": projected[chosen],
            "features": features[chosen],
            "model": np.where(for_all, 0, answers[:, :, 0]).astype(np.int32),
            "log_length": answers[:, :, 1],
            "is_cut": answers[:, :, 2],
        }

    fitted = replace(fitted, parameters=_optimised(fitted.parameters, named, batch, options, on_step))
    drawn = rng.choice(len(requests), NUM_DRAWN, p=shares)
    return replace(fitted, anchors=anchors_of(fitted.embed(pooled[drawn])))


def _numbers_of_named(models: Sequence[str]) -> npt.NDArray[np.int64]:
    """Numbers of the models that keep a name; of all where none does."""
    kept = set(named_models(models).values()) or set(models)
    return np.array([number for number, model in enumerate(models, start=1) if model in kept])


def _requests(
    examples: Sequence[TrainingExample], models: Sequence[str], power: float
) -> tuple[list[_Request], np.ndarray]:
    numbers = {model: number for number, model in enumerate(models, start=1)}
    groups: dict[tuple[object, ...], list[int]] = defaultdict(list)
    for position, example in enumerate(examples):
        groups[(example.dataset, replace(example.features(), prompt_tokens=0, model=""))].append(position)
    requests, sets = [], []
    for members in groups.values():
        answers = [
            (numbers[examples[i].model], np.log(length), float(examples[i].is_cut(length)))
            for i in members
            for length in examples[i].lengths
        ]
        vector = request_vector(examples[members[0]].features())
        requests.append(_Request(members[0], vector, np.array(answers, dtype=np.float32)))
        sets.append(examples[members[0]].dataset)
    sizes = Counter(sets)
    shares = np.array([sizes[name] ** (power - 1.0) for name in sets])
    return requests, shares / shares.sum()


def _statistics(pooled: FloatMatrix, vectors: FloatMatrix) -> dict[str, FloatMatrix]:
    pooled_mean, pooled_scale = pooled.mean(0), 1 / (pooled.std(0) + 1e-3)
    standardised = ((pooled - pooled_mean) * pooled_scale).astype(np.float64)
    values, directions = np.linalg.eigh(standardised.T @ standardised / len(pooled))
    order = np.argsort(values)[::-1][:PROJECTED]
    directions = directions[:, order]
    # An eigenvector's sign is arbitrary; fixing it makes two runs comparable.
    directions *= np.sign(directions[np.abs(directions).argmax(0), np.arange(directions.shape[1])])
    projection = np.zeros((pooled.shape[1], PROJECTED))
    # Directions in which hardly anything differs would be blown up to nothing but the encoder's rounding.
    floor = SMALLEST_DIRECTION * max(float(values[order[0]]), 1.0)
    projection[:, : len(order)] = directions / np.sqrt(np.maximum(values[order], floor))
    spread = vectors.std(0)
    varies = spread > 1e-6
    arrays = {
        "pooled_mean": pooled_mean,
        "pooled_scale": pooled_scale,
        "projection": projection,
        "feature_mean": vectors.mean(0),
        "feature_scale": np.where(varies, 1 / np.where(varies, spread, 1), 0),
    }
    return {name: array.astype(np.float32) for name, array in arrays.items()}


def _drawn(answers: FloatMatrix, num: int, rng: np.random.Generator) -> FloatMatrix:
    drawn: FloatMatrix = answers[rng.integers(0, len(answers), num)]
    return drawn


def _optimised(
    parameters: Parameters,
    named: npt.NDArray[np.int64],
    batch: Callable[[], dict[str, Any]],
    options: FitOptions,
    on_step: Callable[[int, float], object],
) -> Parameters:
    """Adam with decoupled weight decay, a warm-up and a cosine's way down."""

    def step(number: Any, state: Any, key: Any, data: Any) -> Any:
        values, first, second = state
        value, gradient = jax.value_and_grad(network.loss)(
            values, named, data, key, options.dropout, options.shift_penalty
        )
        warm = jnp.minimum(number / WARM_UP_STEPS, 1.0)
        rate = options.rate * warm * (0.5 + 0.5 * jnp.cos(jnp.pi * number / options.steps))
        first = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, first, gradient)
        second = jax.tree.map(lambda v, g: 0.99 * v + 0.01 * g * g, second, gradient)

        def moved(x: Any, m: Any, v: Any) -> Any:
            ahead = (m / (1 - 0.9**number)) / (jnp.sqrt(v / (1 - 0.99**number)) + 1e-8)
            return x - rate * (ahead + (options.decay * x if x.ndim > 1 else 0.0))

        return (jax.tree.map(moved, values, first, second), first, second), value

    compiled = jax.jit(step)
    zeros = jax.tree.map(jnp.zeros_like, parameters)
    state = (jax.tree.map(jnp.asarray, parameters), zeros, zeros)
    key = jax.random.PRNGKey(options.seed)
    for number in range(1, options.steps + 1):
        key, now = jax.random.split(key)
        state, value = compiled(jnp.float32(number), state, now, batch())
        on_step(number, float(value))
    return {name: np.asarray(array) for name, array in network.with_population(state[0], named).items()}

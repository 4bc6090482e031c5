"""Fitting the network: from examples and their pooled layers to its parameters."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from sagesched_predictor.errors import DatasetError
from sagesched_predictor.training import network
from sagesched_predictor.training.adam import moved, rate_at
from sagesched_predictor.training.drawing import Drawing
from sagesched_predictor.training.examples import TrainingExample
from sagesched_predictor.training.familiarity import NUM_DRAWN, STRANGENESS, anchors_of, with_strangeness
from sagesched_predictor.training.network import FloatMatrix, Parameters
from sagesched_predictor.training.shape import DIMENSION, FEATURE_LIMIT, PROJECTED

# Share of the widest direction's variance below which a direction is not whitened further.
SMALLEST_DIRECTION = 0.005


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

    Raises:
        DatasetError: nothing tells the prompts apart, so that no direction can be learned.
    """
    options = options or FitOptions()
    rng = np.random.default_rng(options.seed)
    drawing = Drawing.of(examples, options.set_power)
    requests = drawing.requests
    pooled = table[[rows[request.member] for request in requests]]
    vectors = np.stack([request.vector for request in requests])
    statistics = _statistics(pooled, vectors)
    standardised = (pooled - statistics["pooled_mean"]) * statistics["pooled_scale"]
    projected = standardised @ statistics["projection"]
    first = network.initial(rng, pooled.shape[1], vectors.shape[1], len(drawing.models))
    fitted = Fitted(first, drawing.models, **statistics, anchors=np.zeros((1, DIMENSION), dtype=np.float32))
    features = fitted.standardised(vectors)

    def batch() -> dict[str, Any]:
        chosen, answers = drawing.batch(rng, options.batch, options.answers)
        return {
            "pooled": standardised[chosen],
            "projected": projected[chosen],
            "features": features[chosen],
            **answers,
        }

    fitted = replace(fitted, parameters=_optimised(fitted.parameters, drawing.named, batch, options, on_step))
    if not all(np.isfinite(array).all() for array in fitted.parameters.values()):
        raise DatasetError("nothing can be learned: the prompts are all the same; add others")
    drawn = rng.choice(len(requests), NUM_DRAWN, p=drawing.shares)
    return replace(fitted, anchors=anchors_of(fitted.embed(pooled[drawn])))


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


def _optimised(
    parameters: Parameters,
    named: npt.NDArray[np.int64],
    batch: Callable[[], dict[str, Any]],
    options: FitOptions,
    on_step: Callable[[int, float], object],
) -> Parameters:
    def step(number: Any, state: Any, key: Any, data: Any) -> Any:
        values, moments = state
        value, gradient = jax.value_and_grad(network.loss)(
            values, named, data, key, options.dropout, options.shift_penalty
        )
        rate = rate_at(number, options.rate, options.steps)
        return moved(values, moments, gradient, number, rate, options.decay), value

    compiled = jax.jit(step)
    zeros = jax.tree.map(jnp.zeros_like, parameters)
    state = (jax.tree.map(jnp.asarray, parameters), (zeros, zeros))
    key = jax.random.PRNGKey(options.seed)
    for number in range(1, options.steps + 1):
        key, now = jax.random.split(key)
        state, value = compiled(jnp.float32(number), state, now, batch())
        on_step(number, float(value))
    return {name: np.asarray(array) for name, array in network.with_population(state[0], named).items()}

"""The trained part of the predictor, in JAX: trunk (pooled layers -> embedding) and head (-> log quantiles).

    trunk   t = tanh(W2 gelu(W1 pooled)),  c = a fixed whitened projection of `pooled`
            embedding = [t, c / 2] / |[t, c / 2]|
    head    r = tanh(W4 gelu(W3 [embedding, features]))
            q = W5 r, made increasing, with median q_50
            log quantiles = q_50 + a_m + b_m · r + exp(w_m) (q - q_50)

`t` is made to tell lengths apart over many models and tasks. `c` keeps what else differs between prompts, so
that a pool's own traffic can teach what the prior never saw. Models share everything but shift a, slope b and
width w. Number 0 is the population, which a model that was not trained with gets: its shift and slope are the
mean of those of the models that keep a name, since each of the other sets was answered by models of its own,
and a mean over all answers would take what sets differ in for what prompts differ in. Its width is learned: a
share of these models' answers count as its, whoever gave them, so that it is as wide as models differ. What
unfamiliar prompts add to the width is not learned here (`familiarity.py`).

The loss is the pinball loss of the log length at all levels. Of an answer that was cut off only the lower
bound is known: quantiles above it cost nothing (Powell, "Censored regression quantiles", 1986).
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from sagesched_predictor.prior import LEVELS
from sagesched_predictor.training.shape import (
    DIMENSION,
    EMBEDDING_SCALE,
    HEAD_HIDDEN,
    HIDDEN,
    MIDDLE,
    NORM_FLOOR,
    PROJECTED_WEIGHT,
    REPRESENTATION,
    TRAITS,
)

FloatMatrix = npt.NDArray[np.float32]
Parameters = dict[str, Any]

PENALTIES = {"shift_slope": 1.0, "shift": 0.1, "width": 0.1}
_LEVELS = jnp.asarray(LEVELS, dtype=jnp.float32)


def initial(rng: np.random.Generator, num_pooled: int, num_features: int, num_models: int) -> Parameters:
    """Random parameters; models, and the population before them, start alike."""

    def dense(inputs: int, outputs: int, gain: float = 1.0) -> FloatMatrix:
        weights: FloatMatrix = (rng.normal(size=(inputs, outputs)) * gain / np.sqrt(inputs)).astype(
            np.float32
        )
        return weights

    def zeros(*shape: int) -> FloatMatrix:
        return np.zeros(shape, dtype=np.float32)

    steps = np.full(len(LEVELS) - 1, -1.5, dtype=np.float32)
    return {
        "trunk1": dense(num_pooled, HIDDEN),
        "trunk1_bias": zeros(HIDDEN),
        "trunk2": dense(HIDDEN, TRAITS),
        "trunk2_bias": zeros(TRAITS),
        "head1": dense(DIMENSION + num_features, HEAD_HIDDEN),
        "head1_bias": zeros(HEAD_HIDDEN),
        "head2": dense(HEAD_HIDDEN, REPRESENTATION),
        "head2_bias": zeros(REPRESENTATION),
        "out": dense(REPRESENTATION, len(LEVELS), 0.1),
        "out_bias": np.concatenate([np.array([3.0], dtype=np.float32), steps]),
        "shift": zeros(num_models + 1),
        "shift_slope": zeros(num_models + 1, REPRESENTATION),
        "width": zeros(num_models + 1),
    }


def embed(parameters: Parameters, pooled: Any, projected: Any, key: Any = None, dropout: float = 0.0) -> Any:
    """Unit embeddings (n, DIMENSION) from standardised pooled layers and their projection (n, PROJECTED)."""
    if key is not None:
        first, second = jax.random.split(key)
        pooled = _dropped(pooled, first, dropout)
    hidden = jax.nn.gelu(pooled @ parameters["trunk1"] + parameters["trunk1_bias"], approximate=False)
    if key is not None:
        hidden = _dropped(hidden, second, dropout)
    traits = jnp.tanh(hidden @ parameters["trunk2"] + parameters["trunk2_bias"])
    joint = jnp.concatenate([traits, PROJECTED_WEIGHT * projected], axis=1)
    return joint / jnp.maximum(jnp.linalg.norm(joint, axis=1, keepdims=True), NORM_FLOOR)


def quantiles(
    parameters: Parameters, embeddings: Any, features: Any, key: Any = None, dropout: float = 0.0
) -> tuple[Any, Any]:
    """Log quantiles before anything of a model (n, levels), and the representation (n, REPRESENTATION)."""
    inputs = jnp.concatenate([EMBEDDING_SCALE * embeddings, features], axis=1)
    if key is not None:
        inputs = _dropped(inputs, key, dropout)
    hidden = jax.nn.gelu(inputs @ parameters["head1"] + parameters["head1_bias"], approximate=False)
    representation = jnp.tanh(hidden @ parameters["head2"] + parameters["head2_bias"])
    raw = representation @ parameters["out"] + parameters["out_bias"]
    rises = jnp.cumsum(jax.nn.softplus(raw[:, 1:]), axis=1)
    return jnp.concatenate([raw[:, :1], raw[:, :1] + rises], axis=1), representation


def with_population(parameters: Parameters, named: Any) -> Parameters:
    """The same with number 0 standing where the models of these numbers stand on average."""
    shared = {name: jnp.asarray(parameters[name]) for name in ("shift", "shift_slope")}
    return {**parameters, **{name: x.at[0].set(x[named].mean(0)) for name, x in shared.items()}}


def widened(parameters: Parameters) -> Any:
    """Log widths as they are predicted with: no known model's below the population's.

    A model's own width is that of the sets it was trained on, and a pool has prompts of other kinds.
    """
    return jnp.maximum(parameters["width"], parameters["width"][0])


def of_models(parameters: Parameters, common: Any, representation: Any, models: Any) -> Any:
    """Log quantiles of models (n, k, levels) from those before anything of a model; `models` is (n, k)."""
    middle = common[:, None, MIDDLE : MIDDLE + 1]
    slope = jnp.einsum("nkr,nr->nk", parameters["shift_slope"][models], representation)
    shift = (parameters["shift"][models] + slope)[:, :, None]
    width = jnp.exp(parameters["width"][models])[:, :, None]
    return middle + shift + width * (common[:, None, :] - middle)


def loss(
    parameters: Parameters, named: Any, batch: dict[str, Any], key: Any, dropout: float, shift_penalty: float
) -> Any:
    """Mean pinball loss of a batch, with a penalty that keeps models near the population.

    Args:
        parameters: see `initial`.
        named: numbers of the models that keep a name, at least one.
        batch: `pooled`, `projected`, `features` (n, ...); `model` int, `log_length`, `is_cut` (n, answers).
        key: of the dropout.
        dropout: share of inputs left out.
        shift_penalty: weight of what is a model's own.
    """
    first, second = jax.random.split(key)
    embeddings = embed(parameters, batch["pooled"], batch["projected"], first, dropout)
    common, representation = quantiles(parameters, embeddings, batch["features"], second, dropout)
    predicted = of_models(with_population(parameters, named), common, representation, batch["model"])
    error = batch["log_length"][:, :, None] - predicted
    pinball = jnp.maximum(_LEVELS * error, (_LEVELS - 1) * error)
    pinball = jnp.where((batch["is_cut"][:, :, None] > 0) & (error <= 0), 0.0, pinball)
    penalty = sum((parameters[name] ** 2).sum() * weight for name, weight in PENALTIES.items())
    return pinball.mean() + shift_penalty * penalty


def _dropped(values: Any, key: Any, share: float) -> Any:
    return values * jax.random.bernoulli(key, 1 - share, values.shape) / (1 - share)

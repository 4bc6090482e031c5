"""A BERT trained end to end with the predictor's own loss, for what stands beside the frozen encoder.

Trunk and head are trained along, with `network.loss`; batches are drawn as the product's are. Training writes
down where it is, stops when its time is up, and goes on from there when it is started again; the result does
not depend on the pieces.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
from jax_bert import Values, pooled_of, trainable

from sagesched_predictor.training import network
from sagesched_predictor.training.adam import moved, rate_at
from sagesched_predictor.training.drawing import Drawing
from sagesched_predictor.training.fitting import FitOptions, Fitted
from sagesched_predictor.training.minilm_graph import BertShape, Weights

ANSWERS = 12
BATCH = 64
# Prompts of like length go through the network together, and gradients are averaged: same step, less padding.
AT_ONCE = 16
# Widths are rounded up to a multiple, or every one would be compiled for.
WIDTH_STEP = 32
WARM_UP_STEPS = 50
# Requests of the fold that is asked for, whose loss is printed on the way; nothing is decided by it.
NUM_WATCHED = 512
LOOK_EVERY = 25


class OutOfTimeError(Exception):
    """The time for this piece is up; what was reached is written down."""


@dataclass(frozen=True)
class Recipe:
    """How an encoder is trained.

    Attributes:
        name: of the encoder.
        encoder_rate: height of the encoder's learning rate.
        head_rate: of trunk and head.
        steps: of `BATCH` prompts each.
        fixed: tensors that stay as they are.
    """

    name: str
    encoder_rate: float
    head_rate: float
    steps: int
    fixed: tuple[str, ...] = ()


@dataclass(frozen=True)
class Course:
    """Requests to train on, or to look at.

    Attributes:
        drawing: what batches are drawn from.
        prompts: of each request.
        tokens: of each request's prompt.
        features: of each request, standardised.
    """

    drawing: Drawing
    prompts: Sequence[str]
    tokens: Sequence[Sequence[int]]
    features: network.FloatMatrix

    def batches(self, rng: np.random.Generator, num: int) -> list[dict[str, Any]]:
        """Inputs of the loss for `num` requests, `AT_ONCE` of like length each."""
        chosen, answers = self.drawing.batch(rng, num, ANSWERS)
        order = np.argsort([len(self.tokens[i]) for i in chosen], kind="stable")
        made = []
        for start in range(0, len(order), AT_ONCE):
            part = order[start : start + AT_ONCE]
            ids, mask = padded([self.tokens[chosen[i]] for i in part])
            kept = {name: array[part] for name, array in answers.items()}
            made.append({"ids": ids, "mask": mask, "features": self.features[chosen[part]], **kept})
        return made


def padded(rows: Sequence[Sequence[int]]) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]:
    width = -(-max(len(row) for row in rows) // WIDTH_STEP) * WIDTH_STEP
    ids = np.zeros((len(rows), width), dtype=np.int32)
    mask = np.zeros((len(rows), width), dtype=np.float32)
    for number, row in enumerate(rows):
        ids[number, : len(row)] = row
        mask[number, : len(row)] = 1
    return ids, mask


def tuned(
    recipe: Recipe,
    weights: Weights,
    config: Mapping[str, Any],
    start: Fitted,
    course: Course,
    watched: Course,
    options: FitOptions,
    place: Path,
    minutes: float,
) -> tuple[Weights, Fitted]:
    """The encoder's weights and trunk and head after training.

    Args:
        recipe: how.
        weights: to start from.
        config: of the network, as in `config.json`.
        start: trunk and head to start from; how pooled layers and features are scaled stays.
        course: what is trained on.
        watched: prompts left out, whose loss is printed.
        options: dropout of trunk and head, decay and penalty are taken from them.
        place: file for what was reached.
        minutes: how long this piece may take.

    Raises:
        OutOfTimeError: not there yet.
    """
    jax.config.update("jax_compilation_cache_dir", str(place.parent / "compiled"))
    run = _Functions.of(recipe, weights, config, start, course.drawing.named, options)
    looked_at = watched.batches(np.random.default_rng(0), NUM_WATCHED)
    values: Values = {"encoder": trainable(weights, recipe.fixed), "head": start.parameters}
    zeros = jax.tree.map(lambda x: np.zeros(np.shape(x), dtype=np.float32), values)
    moments: Values = {part: (zeros[part], zeros[part]) for part in zeros}
    done, reached = _found(place, (values, moments))
    values, moments = jax.tree.map(jnp.asarray, reached)
    until = time.monotonic() + 60 * minutes
    print(
        f"  {recipe.name}: step {done}, loss on prompts left out {run.looked(values, looked_at):.4f}",
        flush=True,
    )
    losses: list[float] = []
    for number in range(done + 1, recipe.steps + 1):
        parts = course.batches(np.random.default_rng([options.seed, number]), BATCH)
        keys = jax.random.split(jax.random.PRNGKey(number), len(parts))
        found = [run.gradient_of(values, part, key) for part, key in zip(parts, keys, strict=True)]
        gradient = jax.tree.map(lambda *x: sum(x) / len(x), *(g for _, g in found))
        losses.append(float(np.mean([value for value, _ in found])))
        values, moments = run.step(values, moments, gradient, jnp.float32(number))
        late = time.monotonic() > until and number < recipe.steps
        if number % LOOK_EVERY == 0 or number == recipe.steps or late:
            print(
                f"  {recipe.name}: step {number} of {recipe.steps}, loss {np.mean(losses):.4f}, "
                f"on prompts left out {run.looked(values, looked_at):.4f}",
                flush=True,
            )
            losses.clear()
            _written(place, number, (values, moments))
        if late:
            raise OutOfTimeError
    head = network.with_population(values["head"], course.drawing.named)
    encoder, head = jax.tree.map(np.asarray, (values["encoder"], head))
    return {**weights, **encoder}, replace(start, parameters=head)


@dataclass(frozen=True)
class _Functions:
    """What is compiled: the loss with its gradient, the loss alone, and a step of the optimiser."""

    gradient_of: Callable[[Values, Any, Any], tuple[Any, Values]]
    loss_of: Callable[[Values, Any], Any]
    step: Callable[[Values, Values, Values, Any], tuple[Values, Values]]

    @classmethod
    def of(
        cls,
        recipe: Recipe,
        weights: Weights,
        config: Mapping[str, Any],
        start: Fitted,
        named: npt.NDArray[np.int64],
        options: FitOptions,
    ) -> _Functions:
        shape = BertShape.from_config(config)
        fixed = {name: jnp.asarray(weights[name]) for name in recipe.fixed}
        rates = {"encoder": recipe.encoder_rate, "head": recipe.head_rate}

        def loss(values: Values, fixed: Values, batch: Values, key: Any, dropout: float) -> Any:
            first, second = jax.random.split(key)
            encoder = {**fixed, **values["encoder"]}
            pooled = pooled_of(encoder, shape, batch["ids"], batch["mask"], first if dropout else None)
            standardised = (pooled - start.pooled_mean) * start.pooled_scale
            inputs = {**batch, "pooled": standardised, "projected": standardised @ start.projection}
            return network.loss(values["head"], named, inputs, second, dropout, options.shift_penalty)

        def step(values: Values, moments: Values, gradient: Values, number: Any) -> tuple[Values, Values]:
            after = {}
            for part, height in rates.items():
                rate = rate_at(number, height, recipe.steps, WARM_UP_STEPS)
                after[part] = moved(values[part], moments[part], gradient[part], number, rate, options.decay)
            return {part: x for part, (x, _) in after.items()}, {part: m for part, (_, m) in after.items()}

        gradient_of = jax.jit(jax.value_and_grad(lambda v, f, b, k: loss(v, f, b, k, options.dropout)))
        loss_of = jax.jit(lambda v, f, b: loss(v, f, b, jax.random.PRNGKey(0), 0.0))
        return cls(
            lambda values, batch, key: gradient_of(values, fixed, batch, key),
            lambda values, batch: loss_of(values, fixed, batch),
            jax.jit(step, donate_argnums=(0, 1)),
        )

    def looked(self, values: Values, batches: Sequence[Any]) -> float:
        """Mean loss of batches, without dropout."""
        return float(np.mean([float(self.loss_of(values, batch)) for batch in batches]))


def _found(place: Path, first: Any) -> tuple[int, Any]:
    """Steps done and the tree reached, like `first`, which it is where nothing was written down."""
    if not place.is_file():
        return 0, first
    with np.load(place) as file:
        leaves = [file[f"leaf{number}"] for number in range(len(jax.tree.leaves(first)))]
        return int(file["done"]), jax.tree.unflatten(jax.tree.structure(first), leaves)


def _written(place: Path, done: int, reached: Any) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    beside = place.with_name(f"new-{place.name}")
    leaves = {f"leaf{number}": np.asarray(leaf) for number, leaf in enumerate(jax.tree.leaves(reached))}
    np.savez(beside, done=np.array(done), **leaves)  # type: ignore[arg-type]
    beside.rename(place)

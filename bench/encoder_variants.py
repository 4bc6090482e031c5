"""The encoders that `encoder_choice.py` compares, each trained without the fold that is asked for."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from castillo import DEFAULT_MODEL, read_castillo
from jax_bert import WORDS, random_weights
from predictor_quality import OTHER_MODELS, lines_of
from tuned_encoder import Course, Recipe, tuned

from sagesched_predictor.evaluation import Actual
from sagesched_predictor.request_features import NAMES
from sagesched_predictor.tokenizer import PromptTokenizer
from sagesched_predictor.training import network
from sagesched_predictor.training.drawing import Drawing
from sagesched_predictor.training.examples import TrainingExample
from sagesched_predictor.training.export import cache_root
from sagesched_predictor.training.familiarity import NUM_DRAWN, anchors_of
from sagesched_predictor.training.fitting import FitOptions, Fitted
from sagesched_predictor.training.held_out import NUM_FOLDS, fold_of
from sagesched_predictor.training.minilm_graph import Weights
from sagesched_predictor.training.network import FloatMatrix
from sagesched_predictor.training.pipeline import Material, read_examples
from sagesched_predictor.training.pooling import MAX_PROMPT_TOKENS, pooled_layers
from sagesched_predictor.training.shape import DIMENSION, PROJECTED
from sagesched_predictor.training.trunk_graph import NUM_LAYERS, build_pooled_encoder
from sagesched_predictor.training.weights import WeightSource

MODELS = (DEFAULT_MODEL, *OTHER_MODELS)
MAX_TOKENS = 2048
OWN_WIDTH = 128
# As the product is fitted.
OPTIONS = FitOptions()
RECIPES = {
    # The table of words stays: retrained, it would be 47 MB to ship, where a package has it already.
    "tuned": Recipe("tuned", encoder_rate=1e-4, head_rate=5e-4, steps=300, fixed=(WORDS,)),
    "own": Recipe("own", encoder_rate=1e-3, head_rate=2e-3, steps=1500),
}
SHOW_EVERY = 4_000


@dataclass(frozen=True)
class Bert:
    """Weights of a network of at least three layers, and its `config.json`."""

    weights: Weights
    config: Mapping[str, Any]

    @classmethod
    def of(cls, name: str) -> Bert:
        """What "frozen" is, and "tuned" and "own" start from."""
        source = WeightSource.find()
        if name != "own":
            return cls(source.weights(), source.config())
        sizes = {
            "hidden_size": OWN_WIDTH,
            "intermediate_size": 4 * OWN_WIDTH,
            "num_attention_heads": OWN_WIDTH // 32,
            "num_hidden_layers": NUM_LAYERS,
            "max_position_embeddings": MAX_PROMPT_TOKENS,
        }
        config = {**source.config(), **sizes}
        return cls(random_weights(config), config)

    def pooled(self, prompts: Sequence[str]) -> FloatMatrix:
        """Pooled layers of prompts in int8, kept in the cache."""
        done = 0

        def show(number: int) -> None:
            nonlocal done
            done += number
            if done // SHOW_EVERY != (done - number) // SHOW_EVERY:
                print(f"  {done} of {len(prompts)} prompts pooled", flush=True)

        model = build_pooled_encoder(self.weights, self.config)
        return pooled_layers(prompts, cache_root() / "training", 1, show, model)


@dataclass(frozen=True)
class Data:
    """The pack, the lines of CASTILLO's models, and the rows of all their prompts in tables."""

    examples: list[TrainingExample]
    lines: dict[str, list[Actual]]
    rows: dict[str, int]

    @classmethod
    def read(cls, folder: Path) -> Data:
        """Read the data pack."""
        examples = read_examples(folder)
        lines = {model: lines_of(read_castillo(folder, model), model, MAX_TOKENS, seed=0) for model in MODELS}
        asked = (line.example.features.prompt for found in lines.values() for line in found)
        prompts = dict.fromkeys([*(example.prompt for example in examples), *asked])
        return cls(examples, lines, {prompt: row for row, prompt in enumerate(prompts)})

    def fitted(self, table: FloatMatrix, fold: int) -> Fitted:
        """The product's own fit of trunk and head, on pooled layers of all prompts."""

        def show(step: int, loss: float) -> None:
            if step % 500 == 0:
                print(f"  trunk and head: step {step} of {OPTIONS.steps}, loss {loss:.4f}", flush=True)

        material = Material(
            self.examples,
            table,
            np.array([self.rows[example.prompt] for example in self.examples]),
            np.array([fold_of(example.prompt) for example in self.examples]),
        )
        return material.fit(OPTIONS, without_folds={fold}, on_step=show)

    def course(self, folds: Collection[int], fitted: Fitted) -> Course:
        """The examples of these folds, features scaled as for `fitted`."""
        kept = [example for example in self.examples if fold_of(example.prompt) in folds]
        drawing = Drawing.of(kept, OPTIONS.set_power)
        prompts = [kept[request.member].prompt for request in drawing.requests]
        tokenizer = PromptTokenizer(WeightSource.find().tokenizer_path, MAX_PROMPT_TOKENS)
        features = fitted.standardised(np.stack([request.vector for request in drawing.requests]))
        return Course(drawing, prompts, tokenizer.encode(prompts), features)


@dataclass(frozen=True)
class Variant:
    """An encoder with trunk and head: its pooled layers of all prompts, and what is made of them."""

    name: str
    table: FloatMatrix
    fitted: Fitted


def frozen(data: Data, fold: int) -> Variant:
    """What ships, without the fold."""
    table = Bert.of("frozen").pooled(list(data.rows))
    return Variant("frozen", table, remembered(f"frozen-{fold}", lambda: data.fitted(table, fold)))


def end_to_end(data: Data, fold: int, name: str, beside: Fitted, minutes: float) -> list[Variant]:
    """What is trained end to end, as trained and with trunk and head fitted again.

    Args:
        data: the pack.
        fold: left out.
        name: "tuned" or "own".
        beside: trunk and head of "frozen".
        minutes: how long training may take.

    Raises:
        OutOfTimeError: training is not done yet.
    """
    bert = Bert.of(name)
    course = data.course(set(range(NUM_FOLDS)) - {fold}, beside)
    watched = data.course({fold}, beside)
    start = beside
    if name == "own":
        start = replace(
            untrained(NUM_LAYERS * OWN_WIDTH, beside.models),
            feature_mean=beside.feature_mean,
            feature_scale=beside.feature_scale,
        )
    place = folder() / f"{name}-{fold}.npz"
    weights, trained = tuned(
        RECIPES[name], bert.weights, bert.config, start, course, watched, OPTIONS, place, minutes
    )
    table = Bert(weights, bert.config).pooled(list(data.rows))
    chosen = np.random.default_rng(0).choice(len(course.prompts), NUM_DRAWN, p=course.drawing.shares)
    drawn = table[[data.rows[course.prompts[i]] for i in chosen]]
    trained = replace(trained, anchors=anchors_of(trained.embed(drawn)))
    again = remembered(f"{name}-again-{fold}", lambda: data.fitted(table, fold))
    return [
        Variant(f"{name}, as trained", table, trained),
        Variant(f"{name}, head fitted again", table, again),
    ]


def untrained(width: int, models: tuple[str, ...]) -> Fitted:
    """Trunk and head before anything was learned, on pooled layers so wide; no whitened directions."""
    features = len(NAMES)
    return Fitted(
        network.initial(np.random.default_rng(0), width, features, len(models)),
        models,
        pooled_mean=np.zeros(width, dtype=np.float32),
        pooled_scale=np.ones(width, dtype=np.float32),
        projection=np.zeros((width, PROJECTED), dtype=np.float32),
        feature_mean=np.zeros(features, dtype=np.float32),
        feature_scale=np.ones(features, dtype=np.float32),
        anchors=np.zeros((1, DIMENSION), dtype=np.float32),
    )


def folder() -> Path:
    """Where training writes down what it reached; delete it to begin anew."""
    place = cache_root() / "bench" / "encoder-choice"
    place.mkdir(parents=True, exist_ok=True)
    return place


def remembered(name: str, make: Callable[[], Fitted]) -> Fitted:
    """What was made before under this name, or now."""
    place = folder() / f"{name}.pickle"
    if not place.is_file():
        place.write_bytes(pickle.dumps(make()))
    found: Fitted = pickle.loads(place.read_bytes())
    return found

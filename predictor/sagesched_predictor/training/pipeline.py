"""From data to an artifact: read, pool, fit, score on what was held out, write the card."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from sagesched_predictor.errors import ArtifactError, DatasetError
from sagesched_predictor.prior import LEVELS, to_distribution
from sagesched_predictor.request_features import NAMES, request_vectors
from sagesched_predictor.scores import score
from sagesched_predictor.training.data_pack import CASTILLO_SETS, SOURCES, read_pack
from sagesched_predictor.training.examples import TrainingExample
from sagesched_predictor.training.export import cache_root, compose
from sagesched_predictor.training.fitting import FitOptions, Fitted, fit
from sagesched_predictor.training.head_graph import build_head
from sagesched_predictor.training.held_out import HELD_OUT_FOLD, RULE, fold_of
from sagesched_predictor.training.jsonl import read_jsonl
from sagesched_predictor.training.naming import named_models
from sagesched_predictor.training.network import FloatMatrix
from sagesched_predictor.training.parts import Parts, write_parts
from sagesched_predictor.training.pooling import MAX_PROMPT_TOKENS, pooled_layers
from sagesched_predictor.training.shape import DIMENSION
from sagesched_predictor.training.trunk_graph import NUM_LAYERS, trunk_of

# A set with fewer held-out requests than this gives no figure worth printing.
MIN_SCORED = 30
MAX_SCORED = 2_000
# What training alone made, inside the artifact's folder: all that has to be kept to put it together again.
PARTS_FOLDER = "parts"


@dataclass(frozen=True, slots=True)
class Material:
    """What is trained on, read and pooled.

    Attributes:
        examples: all of them, held-out ones included.
        table: pooled layers, one row per distinct prompt.
        rows: each example's row in the table.
        folds: each example's fold; see `held_out`.
    """

    examples: Sequence[TrainingExample]
    table: FloatMatrix
    rows: np.ndarray
    folds: np.ndarray

    def fit(
        self, options: FitOptions, *, without_folds: Collection[int], on_step: Callable[[int, float], object]
    ) -> Fitted:
        """Fit on every other fold."""
        chosen = [i for i, fold in enumerate(self.folds.tolist()) if fold not in without_folds]
        if not chosen:
            raise DatasetError("every prompt is held out; add more data")
        rows = [int(self.rows[i]) for i in chosen]
        return fit([self.examples[i] for i in chosen], self.table, rows, options, on_step)


@dataclass(frozen=True, slots=True)
class Progress:
    """Where progress goes; by default nowhere."""

    pooled: Callable[[int], object] = field(default=lambda number: None)
    step: Callable[[int, float], object] = field(default=lambda number, value: None)


def read_examples(path: Path) -> list[TrainingExample]:
    """Examples of a folder of the data pack, or of a JSONL file in the dataset format.

    Raises:
        DatasetError: neither, or damaged.
    """
    examples = list(read_pack(path) if path.is_dir() else read_jsonl(path))
    if not examples:
        raise DatasetError(f"{path}: no example with a length")
    return examples


def prepare(
    examples: Sequence[TrainingExample],
    threads: int,
    on_pooled: Callable[[int], object] = lambda number: None,
) -> Material:
    """Run the encoder's layers over all prompts, or find what an earlier run left in the cache.

    Raises:
        ArtifactError: the weights cannot be used, or the cache cannot be written.
    """
    prompts = list(dict.fromkeys(example.prompt for example in examples))
    try:
        table = pooled_layers(prompts, cache_root() / "training", threads, on_pooled)
    except OSError as error:
        raise ArtifactError(f"cannot write the cache: {error}; set SAGESCHED_CACHE") from error
    number = {prompt: row for row, prompt in enumerate(prompts)}
    return Material(
        examples,
        table,
        np.array([number[example.prompt] for example in examples]),
        np.array([fold_of(example.prompt) for example in examples]),
    )


def train(
    paths: Sequence[Path],
    out: Path,
    options: FitOptions | None = None,
    *,
    threads: int = 1,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Train a predictor and write it as an artifact, with its trained parts in `parts/`.

    Args:
        paths: folders of the data pack, JSONL files, or both.
        out: folder to write; made when missing.
        options: how to fit; the seed decides everything.
        threads: of the encoder.
        progress: told how far it is.

    Returns:
        The artifact's card.

    Raises:
        DatasetError: the data cannot be used.
        ArtifactError: the encoder's weights cannot be used, or a folder cannot be written.
    """
    options, progress = options or FitOptions(), progress or Progress()
    examples = [example for path in paths for example in read_examples(path)]
    material = prepare(examples, threads, progress.pooled)
    fitted = material.fit(options, without_folds={HELD_OUT_FOLD}, on_step=progress.step)
    models = named_models(fitted.models)
    card = {**_card(material, options, models), "figures": figures(fitted, material)}
    try:
        parts = out / PARTS_FOLDER
        parts.mkdir(parents=True, exist_ok=True)
        write_parts(parts, trunk_of(fitted), build_head(fitted, models).SerializeToString(), card)
        compose(Parts.load(parts), out)
    except OSError as error:
        raise ArtifactError(f"{out}: cannot be written: {error}") from error
    return card


def figures(fitted: Fitted, material: Material) -> dict[str, Any]:
    """Scores of the cold population prior on the held-out prompts, by set; one answer each.

    As in `evaluation.evaluate`, answers end at the cap that the caller asked for, predicted ones as well, and
    what was cut off by anything else is left out.
    """
    held_out = np.flatnonzero(material.folds == HELD_OUT_FOLD)
    rng = np.random.default_rng(0)
    sets: dict[str, list[int]] = {}
    for i in map(int, held_out):
        example = material.examples[i]
        if not example.censored or min(example.lengths) >= (example.max_tokens or np.inf):
            sets.setdefault(example.dataset, []).append(i)
    scored = {}
    for name, members in sorted(sets.items()):
        if len(members) < MIN_SCORED:
            continue
        chosen = [int(i) for i in rng.permutation(members)[:MAX_SCORED]]
        vectors = request_vectors([material.examples[i].features() for i in chosen])
        quantiles, _ = fitted.predict(fitted.embed(material.table[material.rows[np.array(chosen)]]), vectors)
        actual = np.array([float(rng.choice(np.array(material.examples[i].lengths))) for i in chosen])
        predicted = [
            to_distribution(row).clipped(material.examples[i].max_tokens or np.inf)
            for i, row in zip(chosen, quantiles, strict=True)
        ]
        scored[name] = score(predicted, actual, [np.zeros(0)] * len(chosen))
    return {"what": "cold, model unknown, held-out prompts, all models together", "by_dataset": scored}


def _card(material: Material, options: FitOptions, models: dict[str, str]) -> dict[str, Any]:
    kept = [
        example
        for example, fold in zip(material.examples, material.folds, strict=True)
        if fold != HELD_OUT_FOLD
    ]
    return {
        "kind": "length-predictor",
        "format": 1,
        "dimension": DIMENSION,
        "max_prompt_tokens": MAX_PROMPT_TOKENS,
        "encoder": {
            "name": f"all-MiniLM-L6-v2, its first {NUM_LAYERS} layers, with a trained trunk",
            "licence": "Apache-2.0",
            "attribution": "sentence-transformers/all-MiniLM-L6-v2",
        },
        "head": {"levels": list(LEVELS), "features": list(NAMES), "models": list(models)},
        "licence": "Apache-2.0",
        "training": {
            "options": asdict(options),
            "prompts": len({example.prompt for example in kept}),
            "answers": sum(len(example.lengths) for example in kept),
            "held_out": f"fold {HELD_OUT_FOLD} of all prompts was never trained on; {RULE}",
        },
        "data": _data(kept),
    }


def _data(kept: Sequence[TrainingExample]) -> list[dict[str, Any]]:
    """Sets with their licences; a user's own files by their sets' names alone."""
    answers: Counter[tuple[str, str]] = Counter()
    for example in kept:
        answers[(example.model.split("/", 1)[0], example.dataset)] += len(example.lengths)
    by_folder = {source.folder: source for source in SOURCES}
    table = []
    for (folder, dataset), num in sorted(answers.items()):
        source = by_folder.get(folder)
        terms = (
            {"licence": source.licence, "attribution": source.attribution}
            if source
            else {"licence": "own data"}
        )
        if folder == "castillo":
            terms["licence"] = f"lengths Apache-2.0; prompts {CASTILLO_SETS[dataset]}"
        table.append({"source": folder if source else "own", "dataset": dataset, "answers": num, **terms})
    return table

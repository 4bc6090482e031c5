"""Export of the sentence encoder into the cache: a package's weights -> network, tokenizer and card.

The folder is named by everything that decides its content (package version, exporter version, precision),
written beside its place and renamed into it, so a reader never sees half an export and a second export finds
the first.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import onnx

from sagesched_predictor.artifact import CARD_FILE, ENCODER_FILE, TOKENIZER_FILE, EncoderArtifact, file_sha256
from sagesched_predictor.errors import ArtifactError
from sagesched_predictor.training.minilm_graph import OPSET, build_sentence_encoder
from sagesched_predictor.training.quantization import quantize
from sagesched_predictor.training.weights import DISTRIBUTION, WeightSource

# Raise it whenever the exported bytes change.
EXPORTER_VERSION = 1
PRECISIONS = ("int8", "fp32")
# On CPUs 1.7 times as fast, and predictions are as good; a GPU runs only fp32.
DEFAULT_PRECISION = "int8"


def cache_root() -> Path:
    """$SAGESCHED_CACHE, or ~/.cache/sagesched."""
    configured = os.environ.get("SAGESCHED_CACHE")
    return Path(configured) if configured else Path.home() / ".cache" / "sagesched"


def export_encoder(root: Path | None = None, precision: str = DEFAULT_PRECISION) -> Path:
    """Make the encoder, or find the one made before.

    Args:
        root: cache folder; `cache_root()` when left out.
        precision: "int8" (matrix products in 8-bit integers, for CPUs) or "fp32" (needed on GPUs).

    Returns:
        The folder, ready for `EncoderArtifact.load`.

    Raises:
        ArtifactError: the weights are missing, of another architecture, or the cache cannot be written.
        ValueError: unknown precision.
    """
    if precision not in PRECISIONS:
        raise ValueError(f"unknown precision {precision!r}; use one of {', '.join(PRECISIONS)}")
    source = WeightSource.find()
    place = (
        root or cache_root()
    ) / f"encoder-{DISTRIBUTION}-{source.version}-x{EXPORTER_VERSION}-{precision}"
    if _is_complete(place):
        return place
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".export-", dir=place.parent) as scratch:
            made = Path(scratch) / "encoder"
            made.mkdir()
            _write_artifact(source, made, precision)
            _move_into_place(made, place)
    except OSError as error:
        raise ArtifactError(f"cannot write the encoder to {place}: {error}; set SAGESCHED_CACHE") from error
    return place


def _is_complete(place: Path) -> bool:
    """Whether an intact export is already there; a damaged one is made again."""
    try:
        EncoderArtifact.load(place)
    except ArtifactError:
        return False
    return True


def _write_artifact(source: WeightSource, folder: Path, precision: str) -> None:
    config = source.config()
    try:
        model = build_sentence_encoder(source.weights(), config)
    except (KeyError, ValueError) as error:
        raise ArtifactError(f"the weights in {source.folder} cannot be exported: {error}") from error
    if precision == "int8":
        quantize(model, folder / ENCODER_FILE, int(config["num_hidden_layers"]))
    else:
        onnx.save(model, folder / ENCODER_FILE)
    shutil.copyfile(source.tokenizer_path, folder / TOKENIZER_FILE)
    card = _card(source, folder, precision, int(config["hidden_size"]))
    (folder / CARD_FILE).write_text(json.dumps(card, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def _card(source: WeightSource, folder: Path, precision: str, dimension: int) -> dict[str, Any]:
    return {
        "kind": "sentence-encoder",
        "name": "all-MiniLM-L6-v2",
        "precision": precision,
        "dimension": dimension,
        "opset": OPSET,
        "exporter_version": EXPORTER_VERSION,
        "weights": {"package": DISTRIBUTION, "version": source.version},
        "licence": "Apache-2.0",
        "attribution": "sentence-transformers/all-MiniLM-L6-v2",
        "sha256": {name: file_sha256(folder / name) for name in (ENCODER_FILE, TOKENIZER_FILE)},
    }


def _move_into_place(made: Path, place: Path) -> None:
    """Rename into the cache; whoever was first wins, since both wrote the same."""
    if place.exists() and not _is_complete(place):
        shutil.rmtree(place)
    try:
        made.rename(place)
    except OSError:
        if not _is_complete(place):
            raise

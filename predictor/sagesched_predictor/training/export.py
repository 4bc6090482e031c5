"""Putting a predictor together in the cache: a package's weights and the trained parts -> an artifact.

The folder is named by everything that decides its content, written beside its place and renamed into it, so a
reader never sees half an export and a second export finds the first.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from pathlib import Path

from sagesched_predictor.artifact import (
    ENCODER_FILE,
    HEAD_FILE,
    TOKENIZER_FILE,
    EncoderArtifact,
    file_sha256,
)
from sagesched_predictor.errors import ArtifactError
from sagesched_predictor.training.fused_graph import build_fused_encoder
from sagesched_predictor.training.minilm_graph import OPSET
from sagesched_predictor.training.parts import SHIPPED, Parts, write_card
from sagesched_predictor.training.quantization import write_network
from sagesched_predictor.training.trunk_graph import build_trained_encoder
from sagesched_predictor.training.weights import DISTRIBUTION, WeightSource

# Raise it whenever the exported bytes change.
EXPORTER_VERSION = 4
PRECISIONS = ("int8", "fp16", "fp32")
# On CPUs twice as fast, and predictions are as good; a GPU has no int8 kernels for it.
DEFAULT_PRECISION = "int8"


def cache_root() -> Path:
    """$SAGESCHED_CACHE, or ~/.cache/sagesched."""
    configured = os.environ.get("SAGESCHED_CACHE")
    return Path(configured).expanduser() if configured else Path.home() / ".cache" / "sagesched"


def export_encoder(
    root: Path | None = None, precision: str = DEFAULT_PRECISION, parts: Path = SHIPPED
) -> Path:
    """Make the artifact, or find the one made before.

    Args:
        root: cache folder; `cache_root()` when left out.
        precision: "int8" (matrix products in 8-bit integers, for CPUs), "fp16" (for GPUs) or "fp32".
        parts: what training made; the shipped ones when left out.

    Returns:
        The folder, ready for `EncoderArtifact.load`.

    Raises:
        ArtifactError: the weights or parts are missing or unusable, or the cache cannot be written.
        ValueError: unknown precision.
    """
    if precision not in PRECISIONS:
        raise ValueError(f"unknown precision {precision!r}; use one of {', '.join(PRECISIONS)}")
    source, trained = WeightSource.find(), Parts.load(parts)
    identity = hashlib.sha256(json.dumps(trained.card, sort_keys=True).encode()).hexdigest()[:16]
    name = f"predictor-{identity}-{DISTRIBUTION}-{source.version}-x{EXPORTER_VERSION}-{precision}"
    place = (root or cache_root()) / name
    if _is_complete(place):
        return place
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".export-", dir=place.parent) as scratch:
            made = Path(scratch) / "artifact"
            made.mkdir()
            compose(trained, made, precision, source)
            _move_into_place(made, place)
    except OSError as error:
        raise ArtifactError(f"cannot write the encoder to {place}: {error}; set SAGESCHED_CACHE") from error
    return place


def compose(
    parts: Parts, folder: Path, precision: str = DEFAULT_PRECISION, source: WeightSource | None = None
) -> None:
    """Write a whole artifact into an existing folder.

    Raises:
        ArtifactError: the package's weights are missing or of another architecture than the parts need.
        OSError: a file cannot be written.
    """
    source = source or WeightSource.find()
    try:
        # In half precision it is for GPUs, and then in operators that are fused.
        build = build_fused_encoder if precision == "fp16" else build_trained_encoder
        model = build(source.weights(), source.config(), parts.trunk)
    except (KeyError, ValueError) as error:
        raise ArtifactError(f"the weights in {source.folder} cannot be exported: {error}") from error
    trunk = [node.name for node in model.graph.node if node.name.startswith("trunk.")]
    written = "fp32" if precision == "fp16" else precision  # it is in half precision as it was built
    write_network(model, folder / ENCODER_FILE, written, keep=trunk)
    shutil.copyfile(source.tokenizer_path, folder / TOKENIZER_FILE)
    shutil.copyfile(parts.folder / HEAD_FILE, folder / HEAD_FILE)
    names = (ENCODER_FILE, TOKENIZER_FILE, HEAD_FILE)
    card = {
        **parts.card,
        "precision": precision,
        "opset": OPSET,
        "exporter_version": EXPORTER_VERSION,
        "weights": {"package": DISTRIBUTION, "version": source.version},
        "sha256": {name: file_sha256(folder / name) for name in names},
    }
    write_card(folder, card)


def _is_complete(place: Path) -> bool:
    """Whether an intact export is already there; a damaged one is made again."""
    try:
        EncoderArtifact.load(place)
    except ArtifactError:
        return False
    return True


def _move_into_place(made: Path, place: Path) -> None:
    """Rename into the cache; whoever was first wins, since both wrote the same."""
    if place.exists() and not _is_complete(place):
        shutil.rmtree(place)
    try:
        made.rename(place)
    except OSError:
        if not _is_complete(place):
            raise

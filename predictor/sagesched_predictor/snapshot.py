"""A history in one file, so that a predictor can start warm.

Embeddings can be inverted to something like the prompt, so the file is as private as prompts are: mode 0600.
It is written beside its place and renamed into it; a reader never sees half of one. Plain arrays only, so
reading a file from elsewhere runs no code of it.
"""

from __future__ import annotations

import os
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sagesched_predictor.errors import SnapshotError
from sagesched_predictor.history import History

FORMAT = 1
PER_RECORD = ("embeddings", "output_tokens", "prompt_tokens", "censored")

Arrays = dict[str, npt.NDArray[Any]]


def save_history(history: History, path: Path, fingerprint: str) -> None:
    """Write all records, oldest first, with the identity of the encoder that made their embeddings.

    Raises:
        SnapshotError: the file cannot be written.
    """
    arrays: Arrays = {
        "format": np.array(FORMAT),
        "fingerprint": np.array(fingerprint),
        "models": np.array(history.models, dtype=np.str_),
    }
    for number, model in enumerate(history.models):
        ring = history.ring(model)
        order = ring.by_age()
        arrays |= {f"{name}_{number}": getattr(ring, name)[order] for name in PER_RECORD}
    try:
        # mkstemp creates with mode 0600.
        handle, scratch = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                np.savez(file, **arrays)  # type: ignore[arg-type]
            os.replace(scratch, path)
        except BaseException:
            os.unlink(scratch)
            raise
    except OSError as error:
        raise SnapshotError(f"cannot write the history to {path}: {error}") from error


def load_history(history: History, path: Path, fingerprint: str) -> int:
    """Add a file's records to `history`, oldest first; records beyond its size push the oldest out.

    Returns:
        How many records were read.

    Raises:
        SnapshotError: the file is missing, damaged, of another format, or made with another encoder.
    """
    arrays = _read(path)
    try:
        if int(arrays["format"]) != FORMAT:
            raise SnapshotError(
                f"{path}: history format {arrays['format']}, expected {FORMAT}; make it again"
            )
        if str(arrays["fingerprint"]) != fingerprint:
            raise SnapshotError(
                f"{path}: made with another encoder, its embeddings cannot be compared with this one's; "
                "make it again with `sagesched-predictor warm`"
            )
        return sum(
            _load_model(history, str(model), {name: arrays[f"{name}_{number}"] for name in PER_RECORD})
            for number, model in enumerate(arrays["models"])
        )
    except (KeyError, TypeError, ValueError) as error:
        raise SnapshotError(f"{path}: not a history file, or damaged ({error}); make it again") from error


def _read(path: Path) -> Arrays:
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except FileNotFoundError:
        raise SnapshotError(
            f"{path}: no such history file; make one with `sagesched-predictor warm`"
        ) from None
    except (OSError, ValueError, EOFError, AttributeError, zipfile.BadZipFile) as error:
        # AttributeError: a bare .npy array has no `files`.
        raise SnapshotError(f"{path}: not a history file, or damaged ({error}); make it again") from error


def _load_model(history: History, model: str, columns: Arrays) -> int:
    embeddings = columns["embeddings"]
    if embeddings.ndim != 2 or embeddings.shape[1] != history.dimension or not np.isfinite(embeddings).all():
        raise ValueError(f"embeddings of shape {embeddings.shape}, expected (records, {history.dimension})")
    if any(column.shape[:1] != embeddings.shape[:1] for column in columns.values()):
        raise ValueError("columns of different lengths")
    ring = history.ring(model)
    rows = zip(*(columns[name] for name in PER_RECORD), strict=True)
    for embedding, output_tokens, prompt_tokens, censored in rows:
        ring.append(
            embedding,
            output_tokens=int(output_tokens),
            prompt_tokens=int(prompt_tokens),
            censored=bool(censored),
        )
    return len(embeddings)

"""A history in one file, with what was learned beside it, so that a predictor can start warm.

Embeddings can be inverted to something like the prompt, so the file is as private as prompts are: mode 0600.
It is written beside its place and renamed into it; a reader never sees half of one. Plain arrays only, so
reading a file from elsewhere runs no code of it.
"""

from __future__ import annotations

import contextlib
import glob
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sagesched_predictor.errors import SnapshotError
from sagesched_predictor.history import History
from sagesched_predictor.lessons import Lessons
from sagesched_predictor.request_features import NAMES
from sagesched_predictor.ring import BoolArray, FloatArray, FloatMatrix, IntArray
from sagesched_predictor.series_key import SeriesKey

FORMAT = 2
COLUMNS = ("embeddings", "vectors", "output_tokens", "prompt_tokens", "censored", "recorded_at")
LESSONS = ("merits", "repeats")
_UNFINISHED = ".unfinished"

Arrays = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Records:
    """Records of one series, oldest first; columns as in `Ring`."""

    embeddings: FloatMatrix
    vectors: FloatMatrix
    output_tokens: IntArray
    prompt_tokens: IntArray
    censored: BoolArray
    recorded_at: FloatArray

    def __post_init__(self) -> None:
        num_records = len(self.output_tokens)
        if any(len(getattr(self, name)) != num_records for name in COLUMNS):
            raise ValueError("columns of different lengths")
        for name in ("embeddings", "vectors"):
            if getattr(self, name).ndim != 2 or not np.isfinite(getattr(self, name)).all():
                raise ValueError(f"{name} that are not finite rows")

    def __len__(self) -> int:
        return len(self.output_tokens)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What a history file holds.

    Attributes:
        fingerprint: identity of the encoder that made the embeddings.
        features: names of the numbers in a request vector.
        series: records by series.
        lessons: what was learned beside them; without the series of files from before there were any.
    """

    fingerprint: str
    features: tuple[str, ...]
    series: dict[SeriesKey, Records]
    lessons: dict[SeriesKey, Lessons]


def save_history(history: History, path: Path, fingerprint: str) -> None:
    """Write all records with the identity of the encoder that made their embeddings.

    Raises:
        SnapshotError: the file cannot be written.
    """
    keys = history.keys
    arrays: Arrays = {
        "format": np.array(FORMAT),
        "fingerprint": np.array(fingerprint),
        "features": np.array(NAMES),
        "series": np.array(keys, dtype=np.str_).reshape(len(keys), len(SeriesKey._fields)),
    }
    for number, key in enumerate(keys):
        ring = history.ring(key)
        order = ring.by_age()
        arrays |= {f"{name}_{number}": getattr(ring, name)[order] for name in COLUMNS}
        arrays |= {f"{name}_{number}": getattr(ring.lessons, name) for name in LESSONS}
    try:
        _write(arrays, path)
    except OSError as error:
        raise SnapshotError(f"cannot write the history to {path}: {error}") from error


def read_snapshot(path: Path) -> Snapshot:
    """Read a history file.

    Raises:
        SnapshotError: the file is missing, damaged, or of another format.
    """
    arrays = _read(path)
    try:
        if int(arrays["format"]) != FORMAT:
            raise SnapshotError(
                f"{path}: history format {arrays['format']}, expected {FORMAT}; make it again"
            )
        keys = [SeriesKey(*map(str, key)) for key in arrays["series"]]
        series = {
            key: Records(**{name: arrays[f"{name}_{number}"] for name in COLUMNS})
            for number, key in enumerate(keys)
        }
        lessons = {
            key: Lessons(**{name: arrays[f"{name}_{number}"] for name in LESSONS})
            for number, key in enumerate(keys)
            if f"{LESSONS[0]}_{number}" in arrays
        }
        return Snapshot(str(arrays["fingerprint"]), tuple(map(str, arrays["features"])), series, lessons)
    except (KeyError, TypeError, ValueError) as error:
        raise SnapshotError(f"{path}: not a history file, or damaged ({error}); make it again") from error


def load_history(history: History, path: Path, fingerprint: str) -> int:
    """Add a file's records to `history`; records beyond its size push the oldest out.

    Returns:
        How many records were read.

    Raises:
        SnapshotError: as `read_snapshot`, or made with another encoder.
    """
    snapshot = read_snapshot(path)
    if snapshot.fingerprint != fingerprint:
        raise SnapshotError(
            f"{path}: made with another encoder, whose embeddings cannot be compared with this one's; "
            "make it again with `sagesched-predictor warm`"
        )
    widths = {records.embeddings.shape[1] for records in snapshot.series.values()}
    if snapshot.features != NAMES or widths - {history.dimension}:
        raise SnapshotError(f"{path}: made by another version, for other inputs; make it again")
    for key, records in snapshot.series.items():
        _append(history, key, records)
    for key, lessons in snapshot.lessons.items():
        history.ring(key).lessons.take_over(lessons)
    return sum(len(records) for records in snapshot.series.values())


def remove_unfinished(path: Path) -> None:
    """Remove what a process that was killed while it wrote the history at `path` has left beside it."""
    for scratch in path.parent.glob(f"{glob.escape(_prefix(path))}*{_UNFINISHED}"):
        with contextlib.suppress(OSError):
            scratch.unlink()


def _append(history: History, key: SeriesKey, records: Records) -> None:
    ring = history.ring(key)
    for position in range(len(records)):
        ring.append(
            records.embeddings[position],
            records.vectors[position],
            output_tokens=int(records.output_tokens[position]),
            prompt_tokens=int(records.prompt_tokens[position]),
            censored=bool(records.censored[position]),
            recorded_at=float(records.recorded_at[position]),
        )


def _write(arrays: Arrays, path: Path) -> None:
    # Created with mode 0600.
    handle, scratch = tempfile.mkstemp(_UNFINISHED, _prefix(path), path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]
        os.replace(scratch, path)
    except BaseException:
        os.unlink(scratch)
        raise


def _prefix(path: Path) -> str:
    return f".{path.name}-"


def _read(path: Path) -> Arrays:
    try:
        # Opened here, since numpy leaves a damaged file open.
        with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except FileNotFoundError:
        raise SnapshotError(
            f"{path}: no such history file; make one with `sagesched-predictor warm`"
        ) from None
    except Exception as error:
        # Damage fails in as many ways as there are layers below, zip, npy and Python's own parser: by a flag
        # for a password, a version to come, a size beyond memory, and so on.
        raise SnapshotError(f"{path}: not a history file, or damaged ({error}); make it again") from error

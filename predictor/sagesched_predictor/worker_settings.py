"""Settings of the worker process, as the gateway hands them over: one JSON object on the command line."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HISTORY_SIZE = 10_000
MIN_SIMILARITY = 0.8
MAX_PROMPT_TOKENS = 256

RETENTION_DAYS = 30.0

_KNOWN = {"encoder", "prior", "device", "threads", "max_prompt_tokens", "history"}
_KNOWN_HISTORY = {"size", "min_similarity", "file", "snapshot", "retention_days"}


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """Checked settings.

    Attributes:
        encoder: folder with `encoder.onnx`, `tokenizer.json`, `card.json`; None for the shipped predictor.
        prior: use the folder's learned prior, where it has one.
        device: "CPU" or "GPU".
        threads: threads of one encoder run.
        max_prompt_tokens: longer prompts keep head and tail.
        history_size: records kept per model.
        min_similarity: cosine from which a record counts as a neighbour.
        history_file: a warm history to start from while there is no snapshot, or None.
        snapshot: where the history is kept over restarts, or None.
        retention_days: age at which records are forgotten; 0 for never.
    """

    encoder: Path | None
    prior: bool = True
    device: str = "CPU"
    threads: int = 1
    max_prompt_tokens: int = MAX_PROMPT_TOKENS
    history_size: int = HISTORY_SIZE
    min_similarity: float = MIN_SIMILARITY
    history_file: Path | None = None
    snapshot: Path | None = None
    retention_days: float = RETENTION_DAYS

    @classmethod
    def parse(cls, text: str) -> WorkerSettings:
        """Read the JSON text; raises ValueError that names the wrong field."""
        settings = _mapping("settings", json.loads(text), _KNOWN)
        history = _mapping("history", settings.get("history", {}), _KNOWN_HISTORY)
        prior = settings.get("prior", True)
        if not isinstance(prior, bool):
            raise ValueError(f"prior: expected true or false, got {prior!r}")
        device = settings.get("device", "CPU")
        if device not in ("CPU", "GPU"):
            raise ValueError(f"device: expected CPU or GPU, got {device!r}")
        return cls(
            encoder=_path("encoder", settings.get("encoder")),
            prior=prior,
            device=device,
            threads=_whole("threads", settings.get("threads", 1), 1),
            max_prompt_tokens=_whole(
                "max_prompt_tokens", settings.get("max_prompt_tokens", MAX_PROMPT_TOKENS), 4
            ),
            history_size=_whole("history.size", history.get("size", HISTORY_SIZE), 1),
            min_similarity=_cosine("history.min_similarity", history.get("min_similarity", MIN_SIMILARITY)),
            history_file=_path("history.file", history.get("file")),
            snapshot=_path("history.snapshot", history.get("snapshot")),
            retention_days=_days("history.retention_days", history.get("retention_days", RETENTION_DAYS)),
        )


def _mapping(name: str, value: Any, known: set[str]) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"{name}: expected a JSON object, got {value!r}")
    unknown = sorted(set(value) - known)
    if unknown:
        raise ValueError(f"{name}: unknown field {unknown[0]!r}, one of {', '.join(sorted(known))}")
    return value


def _path(name: str, value: Any) -> Path | None:
    if value is not None and (not isinstance(value, str) or not value):
        raise ValueError(f"{name}: expected a path or null, got {value!r}")
    return None if value is None else Path(value)


def _days(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
        raise ValueError(f"{name}: expected a number of at least 0, got {value!r}")
    return float(value)


def _whole(name: str, value: Any, smallest: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < smallest:
        raise ValueError(f"{name}: expected a whole number of at least {smallest}, got {value!r}")
    return value


def _cosine(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not -1 <= value <= 1:
        raise ValueError(f"{name}: expected a number in [-1, 1], got {value!r}")
    return float(value)

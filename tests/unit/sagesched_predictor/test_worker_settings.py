from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sagesched_predictor.worker_settings import WorkerSettings


def test_defaults() -> None:
    settings = WorkerSettings.parse('{"encoder": "/e"}')
    assert settings == WorkerSettings(encoder=Path("/e"))
    assert (settings.history_size, settings.min_similarity, settings.device) == (10_000, 0.8, "CPU")


def test_everything_set() -> None:
    text = json.dumps(
        {
            "encoder": "/e",
            "device": "GPU",
            "threads": 2,
            "max_prompt_tokens": 64,
            "prior": False,
            "history": {
                "size": 5,
                "min_similarity": 1,
                "file": "h.npz",
                "snapshot": "s.npz",
                "retention_days": 7,
            },
        }
    )
    assert WorkerSettings.parse(text) == WorkerSettings(
        encoder=Path("/e"),
        device="GPU",
        threads=2,
        max_prompt_tokens=64,
        history_size=5,
        min_similarity=1.0,
        history_file=Path("h.npz"),
        prior=False,
        snapshot=Path("s.npz"),
        retention_days=7.0,
    )


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"encoder": 3}, "encoder"),
        ({"prior": "no"}, "prior"),
        ({"history": {"snapshot": ""}}, "history.snapshot"),
        ({"history": {"retention_days": -1}}, "history.retention_days"),
        ({"device": "TPU"}, "device"),
        ({"threads": 0}, "threads"),
        ({"threads": True}, "threads"),
        ({"max_prompt_tokens": 3}, "max_prompt_tokens"),
        ({"minSimilarity": 1}, "minSimilarity"),
        ({"history": []}, "history"),
        ({"history": {"size": "big"}}, "history.size"),
        ({"history": {"min_similarity": 1.5}}, "history.min_similarity"),
        ({"history": {"file": 3}}, "history.file"),
        ({"history": {"minSimilarity": 0.5}}, "minSimilarity"),
    ],
    ids=str,
)
def test_a_wrong_field_is_named(change: dict[str, Any], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        WorkerSettings.parse(json.dumps({"encoder": "/e"} | change))


@pytest.mark.parametrize("text", ["", "[]", "nonsense"])
def test_other_text_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"settings|Expecting"):
        WorkerSettings.parse(text)

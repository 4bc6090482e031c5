from __future__ import annotations

import subprocess
import sys

import pytest

import sagesched_predictor
from sagesched_predictor import errors


def test_every_public_name_can_be_had() -> None:
    for name in sagesched_predictor.__all__:
        assert getattr(sagesched_predictor, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        _ = sagesched_predictor.Nothing  # type: ignore[attr-defined]


def test_the_drawn_tree_of_errors_is_complete() -> None:
    drawn = errors.__doc__ or ""
    defined = [thing for thing in vars(errors).values() if isinstance(thing, type)]
    assert all(thing.__name__ in drawn and issubclass(thing, errors.PredictorError) for thing in defined)


@pytest.mark.parametrize(
    ("imported", "absent"),
    [
        ("sagesched_predictor.worker", "numpy"),  # thread limits are set before numpy is loaded
        ("sagesched_predictor.distribution", "onnxruntime"),
        ("sagesched_predictor.predictor", "onnxruntime"),
        ("sagesched_predictor.service", "onnx"),  # serving needs no exporter
    ],
)
def test_imports_stay_light(imported: str, absent: str) -> None:
    code = f"import sys, {imported}; sys.exit({absent!r} in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

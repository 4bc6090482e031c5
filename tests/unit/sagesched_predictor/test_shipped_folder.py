"""Where the shipped predictor comes from: an image holds it ready, a checkout puts it together."""

import sys
from pathlib import Path

import pytest

from sagesched_predictor import shipped_folder as module
from sagesched_predictor.artifact import EncoderArtifact
from sagesched_predictor.errors import PredictorError


def test_a_ready_one_needs_neither_weights_nor_exporter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "READY", tmp_path)
    monkeypatch.setitem(sys.modules, "sagesched_predictor.training.export", None)
    (tmp_path / "int8").mkdir()
    assert module.shipped_folder("CPU") == tmp_path / "int8"
    with pytest.raises(PredictorError, match="install the extra `export`"):
        module.shipped_folder("GPU")  # which wants fp16


def test_without_one_it_is_put_together(
    tmp_path: Path, encoder_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "READY", tmp_path)
    assert EncoderArtifact.load(module.shipped_folder("CPU")).folder.parent == encoder_folder.parent

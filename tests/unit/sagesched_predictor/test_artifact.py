from __future__ import annotations

import json
from pathlib import Path

import pytest

from sagesched_predictor.artifact import CARD_FILE, ENCODER_FILE, TOKENIZER_FILE, EncoderArtifact, file_sha256
from sagesched_predictor.errors import ArtifactError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / ENCODER_FILE).write_bytes(b"network")
    (tmp_path / TOKENIZER_FILE).write_bytes(b"tokenizer")
    digests = {name: file_sha256(tmp_path / name) for name in (ENCODER_FILE, TOKENIZER_FILE)}
    (tmp_path / CARD_FILE).write_text(json.dumps({"dimension": 384, "sha256": digests}))
    return tmp_path


def test_a_whole_folder_opens(folder: Path) -> None:
    artifact = EncoderArtifact.load(str(folder))
    assert artifact.dimension == 384
    assert artifact.fingerprint == file_sha256(artifact.encoder_path)
    assert artifact.tokenizer_path.is_file()


@pytest.mark.parametrize("name", [ENCODER_FILE, TOKENIZER_FILE, CARD_FILE])
def test_a_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(ArtifactError, match=rf"{name} is missing; make .* `sagesched-predictor export`"):
        EncoderArtifact.load(folder)


@pytest.mark.parametrize("name", [ENCODER_FILE, TOKENIZER_FILE])
def test_an_altered_file_is_refused(folder: Path, name: str) -> None:
    (folder / name).write_bytes(b"something else")
    with pytest.raises(ArtifactError, match=f"{name} does not match its digest"):
        EncoderArtifact.load(folder)


@pytest.mark.parametrize("card", ["", "[]", "{}", '{"sha256": 3, "dimension": 2}', "\udcff"])
def test_a_card_that_makes_no_sense_is_refused(folder: Path, card: str) -> None:
    (folder / CARD_FILE).write_bytes(card.encode("utf-8", "surrogateescape"))
    with pytest.raises(ArtifactError, match=r"card\.json: .*export"):
        EncoderArtifact.load(folder)

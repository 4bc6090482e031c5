"""A predictor as an artifact on disk: a folder with `encoder.onnx`, `tokenizer.json` and `card.json`.

One that was trained to tell lengths has a `head.onnx` too.

The card says where the weights come from, under which licence, and the digest of each file. The digest of the
network (`fingerprint`) also ties a stored history to the encoder that made its embeddings: embeddings of
different encoders look alike and must never be compared.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sagesched_predictor.errors import ArtifactError

ENCODER_FILE = "encoder.onnx"
TOKENIZER_FILE = "tokenizer.json"
HEAD_FILE = "head.onnx"
CARD_FILE = "card.json"


@dataclass(frozen=True, slots=True)
class EncoderArtifact:
    """A checked encoder folder.

    Attributes:
        folder: where the files are.
        dimension: length of an embedding.
        fingerprint: sha256 of `encoder.onnx`, hex.
        card: the parsed card.
    """

    folder: Path
    dimension: int
    fingerprint: str
    card: dict[str, Any]

    @classmethod
    def load(cls, folder: Path | str) -> EncoderArtifact:
        """Open a folder and check every digest of its card.

        Raises:
            ArtifactError: the folder or a file is missing, the card is unreadable, or a file was altered.
        """
        folder = Path(folder)
        card = _read_card(folder)
        try:
            digests, dimension = dict(card["sha256"]), int(card["dimension"])
            fingerprint = str(digests[ENCODER_FILE])
        except (KeyError, TypeError, ValueError) as error:
            raise ArtifactError(
                f"{folder / CARD_FILE}: not an encoder card ({error!r}); export it again"
            ) from None
        for name in (ENCODER_FILE, TOKENIZER_FILE, *([HEAD_FILE] if HEAD_FILE in digests else ())):
            path = folder / name
            if not path.is_file():
                raise ArtifactError(f"{path} is missing; make it with `sagesched-predictor export`")
            if file_sha256(path) != digests.get(name):
                raise ArtifactError(f"{path} does not match its digest in {CARD_FILE}; export it again")
        return cls(folder, dimension, fingerprint, card)

    @property
    def encoder_path(self) -> Path:
        """The network."""
        return self.folder / ENCODER_FILE

    @property
    def max_prompt_tokens(self) -> int:
        """Longest prompt that the encoder was trained for, in its own tokens; 0 when the card names none."""
        limit = self.card.get("max_prompt_tokens", 0)
        return limit if isinstance(limit, int) else 0

    @property
    def has_head(self) -> bool:
        """Whether there is a head, so that the artifact predicts without a history."""
        return HEAD_FILE in self.card.get("sha256", {})

    @property
    def head_path(self) -> Path:
        """The network from embeddings and features to quantiles."""
        return self.folder / HEAD_FILE

    @property
    def tokenizer_path(self) -> Path:
        """The tokenizer of the network (not of the served model)."""
        return self.folder / TOKENIZER_FILE


def file_sha256(path: Path) -> str:
    """Hex digest of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _read_card(folder: Path) -> dict[str, Any]:
    path = folder / CARD_FILE
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ArtifactError(f"{path} is missing; make an encoder with `sagesched-predictor export`") from None
    except (OSError, ValueError) as error:
        raise ArtifactError(f"{path}: cannot be read ({error}); export the encoder again") from None
    if not isinstance(card, dict):
        raise ArtifactError(f"{path}: not a JSON object; export the encoder again")
    return card

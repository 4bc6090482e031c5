"""The trained parts of a predictor: a folder with `trunk.safetensors`, `head.onnx` and `card.json`.

They are all that training makes. What they stand on, three layers of MiniLM, comes unchanged from its package
when the whole is put together (`export.py`), so it is neither copied nor committed.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from sagesched_predictor.artifact import CARD_FILE, HEAD_FILE, file_sha256
from sagesched_predictor.errors import ArtifactError
from sagesched_predictor.training.trunk_graph import Array

TRUNK_FILE = "trunk.safetensors"
SHIPPED = Path(__file__).resolve().parent.parent / "shipped"


@dataclass(frozen=True, slots=True)
class Parts:
    """Checked parts.

    Attributes:
        folder: where they are.
        card: the parsed card.
        trunk: arrays of the trunk by name.
    """

    folder: Path
    card: dict[str, Any]
    trunk: dict[str, Array]

    @classmethod
    def load(cls, folder: Path = SHIPPED) -> Parts:
        """Open a folder and check every digest of its card.

        Raises:
            ArtifactError: a file is missing, altered or unreadable.
        """
        try:
            card = json.loads((folder / CARD_FILE).read_text(encoding="utf-8"))
            for name in (TRUNK_FILE, HEAD_FILE):
                if file_sha256(folder / name) != card["sha256"][name]:
                    raise ArtifactError(
                        f"{folder / name} does not match its digest in {CARD_FILE}; train again"
                    )
            return cls(folder, card, load_file(folder / TRUNK_FILE))
        except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
            raise ArtifactError(f"{folder}: not the parts of a predictor ({error!r}); train again") from error


def write_parts(folder: Path, trunk: dict[str, Array], head: bytes, card: dict[str, Any]) -> None:
    """Write the parts into an existing folder; the digests are added to the card."""
    save_file(trunk, folder / TRUNK_FILE)
    (folder / HEAD_FILE).write_bytes(head)
    digests = {name: file_sha256(folder / name) for name in (TRUNK_FILE, HEAD_FILE)}
    write_card(folder, {**card, "sha256": digests})


def write_card(folder: Path, card: dict[str, Any]) -> None:
    """Write `card.json`, the same bytes for the same content."""
    text = json.dumps(card, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    (folder / CARD_FILE).write_text(text, encoding="utf-8")

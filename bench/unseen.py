"""Which CASTILLO prompts the shipped predictor was never trained on."""

from __future__ import annotations

from sagesched_emulator.dataset import Record
from sagesched_predictor.training.held_out import HELD_OUT_FOLD, fold_of

LEFT_OUT = ("Alpaca", "ShareGPT")
"""Their licences keep them out of a shipped model."""


def is_unseen(record: Record) -> bool:
    """Whether it is of the held-out fold, or of a set that is left out."""
    return record.dataset in LEFT_OUT or fold_of(record.prompt) == HELD_OUT_FOLD

"""Which models of the training data keep a place of their own in the head, and under which name."""

from __future__ import annotations

from collections.abc import Sequence

from sagesched_predictor.prior import comparable_model
from sagesched_predictor.training.data_pack import SOURCES


def named_models(models: Sequence[str]) -> dict[str, str]:
    """Name in the head -> name in training, for models that are asked for by name.

    Of the pack only CASTILLO's keep a place: the other sets were answered with few-shot prompts or formats of
    their own, which say more about the set than about the model.
    """
    prefixes = tuple(f"{source.folder}/" for source in SOURCES)
    kept = {}
    for model in models:
        if model.startswith("castillo/") or not model.startswith(prefixes):
            kept[comparable_model(model.removeprefix("castillo/"))] = model
    kept.pop("", None)
    return kept

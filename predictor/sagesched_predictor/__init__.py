"""Prediction of output-length distributions for LLM requests.

Names are loaded on first use: the worker must set numpy's thread limits before numpy is imported, and Python
imports this file first.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sagesched_predictor.distribution import LengthDistribution
    from sagesched_predictor.features import Outcome, PromptFeatures
    from sagesched_predictor.predictor import Prediction, Predictor

__all__ = ["LengthDistribution", "Outcome", "Prediction", "Predictor", "PromptFeatures"]

_HOME = {
    "LengthDistribution": "distribution",
    "Outcome": "features",
    "Prediction": "predictor",
    "Predictor": "predictor",
    "PromptFeatures": "features",
}


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)

"""Which records belong together: those of one model, one way of sampling, and one tenant where asked."""

from __future__ import annotations

from typing import NamedTuple

from sagesched_predictor.features import PromptFeatures

SAMPLED = "sampled"
GREEDY = "greedy"
THINKING = "thinking"
# Below this the most likely token wins practically always.
GREEDY_TEMPERATURE = 0.05


class SeriesKey(NamedTuple):
    """Name of a series of records.

    Attributes:
        model: the served model.
        regime: how it was asked to generate: `sampled` or `greedy`, and whether it shows its reasoning. What
            else matters of sampling is gradual, and part of the request vector.
        tenant: on whose behalf; empty where tenants share what is learned.
    """

    model: str
    regime: str = SAMPLED
    tenant: str = ""

    @classmethod
    def of(cls, features: PromptFeatures) -> SeriesKey:
        """Where a request belongs."""
        temperature = features.temperature
        is_greedy = temperature is not None and temperature < GREEDY_TEMPERATURE
        regime = GREEDY if is_greedy else SAMPLED
        return cls(features.model, f"{regime}-{THINKING}" if features.thinking else regime, features.tenant)

    def __str__(self) -> str:
        regime = "" if self.regime == SAMPLED else f" ({self.regime})"
        return f"{self.model}{regime}" + (f" of tenant {self.tenant}" if self.tenant else "")

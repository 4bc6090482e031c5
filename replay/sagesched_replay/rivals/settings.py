"""Knobs of comparison policies, each at the value that its authors use or report as best."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Self

from sagesched_gateway.scheduling.settings import PolicySettings


@dataclass(frozen=True, slots=True, kw_only=True)
class RivalSettings(PolicySettings):
    """Settings of any replayed policy.

    Attributes:
        promote_after_s: `promotion`: wait after which a request goes before all that waited less, seconds.
        gamma_per_s: `fixed-boost`: its tail rate, 1/s.
    """

    promote_after_s: float = 15.0
    gamma_per_s: float = 0.02

    @classmethod
    def of(cls, settings: PolicySettings) -> Self:
        """These settings, with the defaults where they are plain ones of the gateway."""
        if isinstance(settings, cls):
            return settings
        return cls(**{field.name: getattr(settings, field.name) for field in fields(settings)})

"""`Lessons`: the few numbers that a series learns beside its records, kept with them over a restart."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from sagesched_predictor.blend import SOURCES
from sagesched_predictor.repeated import first_sums

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Lessons:
    """Arrays that those who learn change in place.

    Attributes:
        merits: as `Blend` has them, for new prompts and for those that came before, shape (2, sources).
        repeats: sums over answers to the same prompts, as `Repeats` has them.
    """

    merits: FloatArray = field(default_factory=lambda: np.zeros((2, len(SOURCES))))
    repeats: FloatArray = field(default_factory=first_sums)

    def __post_init__(self) -> None:
        """Raise ValueError for arrays of another shape, or numbers that cannot be."""
        shapes = {"merits": (2, len(SOURCES)), "repeats": first_sums().shape}
        for name, shape in shapes.items():
            found = getattr(self, name)
            if found.shape != shape or not np.isfinite(found).all():
                raise ValueError(f"{name}: needs finite numbers of shape {shape}")
        if (self.repeats[1:] <= 0).any():
            raise ValueError("repeats: needs positive numbers")

    def take_over(self, others: Lessons) -> None:
        """Go on from other ones."""
        self.merits[:], self.repeats[:] = others.merits, others.repeats

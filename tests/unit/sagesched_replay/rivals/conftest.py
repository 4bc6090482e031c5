"""What policies may know of a job, as tests state it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from sagesched_gateway.scheduling.policies.base import JobFacts

AFacts = Callable[..., JobFacts]


@pytest.fixture
def a_facts() -> AFacts:
    def make(
        tokens: list[float],
        weights: list[float] | None = None,
        prompt: int = 10,
        cap: int = 4096,
        at: float = 0.0,
    ) -> JobFacts:
        values = np.array(tokens, dtype=np.float64)
        mass = np.full(values.size, 1 / values.size) if weights is None else np.array(weights)
        return JobFacts(at, prompt, cap, values, mass, values)

    return make

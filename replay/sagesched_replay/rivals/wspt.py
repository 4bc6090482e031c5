"""`wspt`: shortest prompt first, as NVIDIA Dynamo does with equal weights; it predicts nothing.

    key = prompt tokens; ties by arrival                             [tokens]

Dynamo's router queue orders by (1 + priority) / uncached prompt tokens, largest first; without priorities and
without a prefix cache that is the prompt's length. Since I·O is part of the cost, this alone orders well; a
predictor earns its place only below it.
"""

from __future__ import annotations

import numpy as np

from sagesched_gateway.scheduling.policies.base import FloatArray, JobFacts, Moment, Policy
from sagesched_gateway.scheduling.queue import KeyView

_BY_PROMPT = KeyView()


class Wspt(Policy):
    """Shortest prompt first."""

    name = "wspt"

    def row(self, facts: JobFacts) -> FloatArray:
        """Prompt tokens."""
        return np.array([float(facts.prompt_tokens)])

    def view(self, moment: Moment) -> KeyView:
        """By prompt, always."""
        return _BY_PROMPT

"""Policies that replay knows beside the gateway's own, to compare with. They are never served."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from sagesched_gateway.scheduling.policies.base import FloatArray, JobFacts, Moment, Policy
from sagesched_gateway.scheduling.policies.registry import POLICIES, PolicyFactory
from sagesched_gateway.scheduling.queue import KeyView

_BY_PROMPT = KeyView()


class Wspt(Policy):
    """`wspt`: shortest prompt first, as NVIDIA Dynamo does with equal weights; it predicts nothing.

    key = prompt tokens                                              [tokens]

    Since I·O is part of the cost, this alone orders well; a predictor earns its place only below it.
    """

    name = "wspt"

    def row(self, facts: JobFacts) -> FloatArray:
        """Prompt tokens."""
        return np.array([float(facts.prompt_tokens)])

    def view(self, moment: Moment) -> KeyView:
        """By prompt, always."""
        return _BY_PROMPT


REPLAYED: Mapping[str, PolicyFactory] = {**POLICIES, Wspt.name: lambda settings: Wspt()}

"""`short-first`: three classes of output length, first come first served within each (llm-d).

    key = arrival + class · `CLASS_APART_S`,  class 0 short, 1 unknown, 2 long    [seconds]

llm-d's router labels requests SHORT, UNKNOWN or LONG and counts them as 100, 1,000 and 4,096 output tokens
(llm-d/llm-d-router pull request 2309); the plugin's README plans to order its queue "short first" by them.

*Left open*: how a label comes from a predicted distribution. The upstream labels come from request flags
(thinking, tools, max_tokens), which recorded prompts do not have; here the label is the one whose count is
nearest, on a logarithmic scale, to the predicted 0.85 quantile, which is the quantile that the same author's
learned estimator reads. Within a class by arrival; a class never ages into a better one.
"""

from __future__ import annotations

import math

import numpy as np

from sagesched_gateway.scheduling.policies.base import FloatArray, JobFacts, Moment, Policy
from sagesched_gateway.scheduling.queue import KeyView

CLASS_TOKENS = (100.0, 1000.0, 4096.0)
QUANTILE = 0.85
CLASS_APART_S = 1e9
"""More than any wait, so that classes never mix."""

_BY_CLASS = KeyView(column=0, arrival_weight=1.0, scale=CLASS_APART_S)


class ShortFirst(Policy):
    """Class by class, by arrival within."""

    name = "short-first"

    def row(self, facts: JobFacts) -> FloatArray:
        """The class."""
        reached = np.add.accumulate(facts.weights) >= QUANTILE - 1e-12
        tokens = float(facts.tokens[int(np.argmax(reached))])
        distances = [abs(math.log(tokens / representative)) for representative in CLASS_TOKENS]
        return np.array([float(np.argmin(distances))])

    def view(self, moment: Moment) -> KeyView:
        """By class, always."""
        return _BY_CLASS

"""What each policy is told of lengths: nothing where it would not look, the truth where it is an oracle."""

from __future__ import annotations

from collections.abc import Callable

from sagesched_replay.comparison import ORACLES, REPLAYED
from sagesched_replay.inside.registry import INSIDE, INSIDE_ORACLES
from sagesched_replay.knowledge import Ignorance, Knowledge, Truth
from sagesched_replay.run import BLIND, DIRECT

ALL_POLICIES = (*REPLAYED, *INSIDE, DIRECT)
"""Every name that replay knows."""

ALL_ORACLES = ORACLES | INSIDE_ORACLES


def told(policy: str, make_knowledge: Callable[[], Knowledge]) -> Knowledge:
    """What a policy is told, fresh; `make_knowledge` makes what the predicting ones are told."""
    if policy in BLIND:
        return Ignorance()
    return Truth() if policy in ALL_ORACLES else make_knowledge()

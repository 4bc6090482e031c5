"""Which lines a predictor observes before a replay, and which are replayed: never the same prompt in both."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sagesched_emulator.dataset import Record


def set_apart(records: Sequence[Record], num_observed: int, seed: int) -> tuple[list[Record], list[Record]]:
    """Records to replay, and records to observe before: those of `num_observed` prompts, drawn by the seed.

    Raises:
        ValueError: nothing would be left to replay.
    """
    if not num_observed:
        return list(records), []
    prompts = list(dict.fromkeys(record.prompt for record in records))
    if num_observed >= len(prompts):
        raise ValueError(f"observing {num_observed} prompts leaves none of {len(prompts)} to replay")
    np.random.default_rng([seed, 2]).shuffle(prompts)
    observed = set(prompts[:num_observed])
    return (
        [record for record in records if record.prompt not in observed],
        [record for record in records if record.prompt in observed],
    )

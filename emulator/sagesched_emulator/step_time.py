"""`StepTime`: how long one engine iteration takes.

Decoding reads every weight once per iteration (the base), does a little work per sequence, and reads every
cached token once; prefill is compute-bound and grows with its tokens. Four non-negative coefficients
therefore describe an iteration well enough for scheduling; `bench/step_time_fit.py` fits them to measured
points and states the error. PURE: no clock.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields


@dataclass(frozen=True, slots=True)
class StepTime:
    """Coefficients of one engine, all in seconds and >= 0.

    Attributes:
        base_s: fixed time of an iteration.
        per_sequence_s: added by each sequence of the batch.
        per_cached_token_s: added by each token in the KV cache of a generating sequence.
        prefill_s_per_token: added by each prompt token processed (again for what is resumed).
    """

    base_s: float
    per_sequence_s: float
    per_cached_token_s: float
    prefill_s_per_token: float

    def __post_init__(self) -> None:
        """Refuse what no engine can have."""
        for field in fields(self):
            value = getattr(self, field.name)
            if not (math.isfinite(value) and value >= 0):
                raise ValueError(f"{field.name} must be a number >= 0, got {value}")

    def seconds(self, num_sequences: int, cached_tokens: int, prefill_tokens: int) -> float:
        """Duration of an iteration.

        Args:
            num_sequences: sequences in the batch, generating or in prefill.
            cached_tokens: tokens in the KV cache of the generating ones.
            prefill_tokens: tokens processed for the sequences in prefill.
        """
        return (
            self.base_s
            + self.per_sequence_s * num_sequences
            + self.per_cached_token_s * cached_tokens
            + self.prefill_s_per_token * prefill_tokens
        )

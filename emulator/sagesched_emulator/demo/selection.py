"""Which prompts are measured and which the predictor has seen before: never the same ones. PURE.

A fresh predictor knows nothing, and a pool that has served for a day knows much. The demo stands between: the
predictor starts with the answers to other prompts of the same source. They are set apart before the trace is
drawn, so that no measured prompt, nor a copy of it, is among them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from sagesched_emulator.dataset import Record

HELD_OUT = 0.2
"""Share of a small dataset that is kept for the warm-up; measured prompts then repeat."""

MIN_PROMPTS = 50
"""Fewer different prompts than this are all measured, and the predictor starts empty."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Two sets of records without a common prompt.

    Attributes:
        measured: what the trace is drawn from.
        warm: what the predictor has seen before; may be empty.
        note: a sentence for people where the choice has a catch, else empty.
    """

    measured: list[Record]
    warm: list[Record]
    note: str = ""


def select(
    records: Sequence[Record],
    *,
    num_requests: int,
    seed: int,
    max_warm: int,
    prefer: Callable[[Record], bool] | None = None,
) -> Selection:
    """Set apart what is measured.

    With arrivals in the data, the earlier lines warm the predictor and the last `num_requests` are measured,
    as in life. Otherwise prompts are shuffled by the seed; where there are too few for `num_requests`
    measured ones and a warm-up, a fifth is held out and the rest is measured with repetition.

    Args:
        records: the dataset.
        num_requests: requests to measure, >= 1.
        seed: decides the split.
        max_warm: warm-up prompts at most.
        prefer: which records are measured before all others, e.g. those no predictor was trained on; without
            effect where the data has arrivals.
    """
    if all(record.arrival_s is not None for record in records):
        ordered = sorted(records, key=lambda record: record.arrival_s or 0.0)
        chosen = ordered[-num_requests:]
        note = ""
    else:
        ordered = _shuffled(records, seed)
        if prefer is not None:
            ordered.sort(key=lambda record: not prefer(record))
        chosen, note = _chosen(ordered, num_requests, max_warm)
    measured_prompts = {comparable(record.prompt) for record in chosen}
    others = [record for record in ordered if comparable(record.prompt) not in measured_prompts]
    warm = _distinct(others)[::-1][:max_warm][::-1]
    if not others and max_warm:
        note = f"all {len(measured_prompts)} prompts are measured: the predictor starts empty"
    return Selection(measured=chosen, warm=warm, note=note)


def comparable(prompt: str) -> str:
    """The prompt with white space made equal: copies of a prompt often differ in nothing else."""
    return " ".join(prompt.split())


def _chosen(shuffled: Sequence[Record], num_requests: int, max_warm: int) -> tuple[list[Record], str]:
    prompts = list(dict.fromkeys(comparable(record.prompt) for record in shuffled))
    if len(prompts) < MIN_PROMPTS:
        return list(shuffled), ""
    num_measured = min(num_requests, len(prompts) - min(round(len(prompts) * HELD_OUT), max_warm))
    kept = set(prompts[:num_measured])
    chosen = [record for record in shuffled if comparable(record.prompt) in kept]
    if num_measured < num_requests:
        held_out = len(prompts) - num_measured
        return chosen, (
            f"{len(prompts)} prompts are few: {num_measured} are measured, some of them more than once, "
            f"{held_out} warm the predictor"
        )
    return _distinct(chosen), ""


def _shuffled(records: Sequence[Record], seed: int) -> list[Record]:
    order = np.random.default_rng(np.random.SeedSequence([seed, 0x5E1EC7])).permutation(len(records))
    return [records[int(index)] for index in order]


def _distinct(records: Sequence[Record]) -> list[Record]:
    return list({comparable(record.prompt): record for record in records}.values())

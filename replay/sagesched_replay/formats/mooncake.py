"""Mooncake's traces: JSONL of `timestamp` (ms), `input_length`, `output_length`, `hash_ids` (FAST'25).

The conversation trace tells arrivals to about three seconds only. Those of one tick are spread evenly until
the next one, or else a burst would be replayed that never was. The hashes of cached prefixes are not used:
every prompt is prefilled whole.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import Path

from sagesched_emulator.dataset import DatasetError, Record
from sagesched_replay.formats.text import lines_of, tokens

FIELDS = frozenset({"timestamp", "input_length", "output_length"})


def read_mooncake(path: Path) -> list[Record]:
    """Read a trace; a request without output is left out, since nothing was generated.

    Raises:
        DatasetError: a line is wrong; the message names it.
    """
    records = []
    for number, line in lines_of(path):
        try:
            record = _record(line)
        except ValueError as error:
            raise DatasetError(f"{path}:{number}: {error}") from error
        if record is not None:
            records.append(record)
    return _spread(sorted(records, key=lambda record: record.arrival_s or 0.0))


def _record(line: str) -> Record | None:
    try:
        fields = json.loads(line)
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON: {error.msg} at column {error.colno}") from error
    if not isinstance(fields, dict) or not fields.keys() >= FIELDS:
        raise ValueError("needs 'timestamp', 'input_length' and 'output_length'")
    output = tokens(fields["output_length"], "output_length", least=0)
    if output == 0:
        return None
    return Record(
        prompt="",
        prompt_tokens=max(1, tokens(fields["input_length"], "input_length", least=0)),
        output_tokens=output,
        arrival_s=tokens(fields["timestamp"], "timestamp", least=0) / 1e3,
    )


def _spread(records: Sequence[Record]) -> list[Record]:
    """Requests of one tick, evenly until the next; those of the last tick as far apart as the one before."""
    ticks = [(at, list(group)) for at, group in groupby(records, key=lambda record: record.arrival_s or 0.0)]
    spread = []
    width_s = 0.0
    for index, (at, group) in enumerate(ticks):
        if index + 1 < len(ticks):
            width_s = ticks[index + 1][0] - at
        spread += [
            replace(record, arrival_s=at + width_s * place / len(group)) for place, record in enumerate(group)
        ]
    return spread

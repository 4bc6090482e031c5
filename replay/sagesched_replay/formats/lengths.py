"""Length pairs: a CSV of prompt and output tokens, no arrivals (as Vidur and Sarathi-Serve publish them)."""

from __future__ import annotations

import csv
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from sagesched_emulator.dataset import DatasetError, Record
from sagesched_replay.formats.text import lines_of, tokens

COLUMNS: Sequence[tuple[str, str]] = (
    ("num_prefill_tokens", "num_decode_tokens"),
    ("prompt_tokens", "output_tokens"),
    ("input_tokens", "output_tokens"),
)
"""Names by which prompt and output tokens go."""


def columns_of(heading: str) -> tuple[str, str] | None:
    """The two columns of a CSV with this first line; None where it has none of them."""
    names = [name.strip() for name in heading.split(",")]
    return next((pair for pair in COLUMNS if set(pair) <= set(names)), None)


def read_lengths(path: Path) -> list[Record]:
    """Read a length-pair CSV; a pair without output is left out, since nothing was generated.

    Raises:
        DatasetError: a line is wrong; the message names it.
    """
    lines = lines_of(path)
    _, heading = next(lines)
    names = [name.strip() for name in heading.split(",")]
    prompt, output = columns_of(heading) or COLUMNS[0]
    csv.field_size_limit(sys.maxsize)  # a column of prompts beside the counts may hold long ones
    records = []
    for number, line in lines:
        try:
            row = dict(zip(names, next(csv.reader([line])), strict=False))
            record = _record(row, prompt, output)
        except (ValueError, csv.Error) as error:
            raise DatasetError(f"{path}:{number}: {error}") from error
        if record is not None:
            records.append(record)
    return records


def _record(row: Mapping[str, str], prompt: str, output: str) -> Record | None:
    output_tokens = tokens(row.get(output), output, least=0)
    if output_tokens == 0:
        return None
    return Record(
        prompt="", prompt_tokens=max(1, tokens(row.get(prompt), prompt, least=0)), output_tokens=output_tokens
    )

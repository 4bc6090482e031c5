"""Azure's LLM inference traces: `TIMESTAMP,ContextTokens,GeneratedTokens` (AzurePublicDataset, CC-BY)."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

from sagesched_emulator.dataset import DatasetError, Record
from sagesched_replay.formats.text import lines_of, tokens

HEADING = "TIMESTAMP,ContextTokens,GeneratedTokens"
_INSTANT = re.compile(r"(\d{4}-\d{2}-\d{2})[ T](\d{2}:\d{2}:\d{2})(\.\d+)?(\+00:00|Z)?")


def read_azure(path: Path) -> list[Record]:
    """Read a trace; a request without output is left out, since nothing was generated.

    Raises:
        DatasetError: a line is wrong; the message names it.
    """
    lines = lines_of(path)
    next(lines)
    records = []
    for number, line in lines:
        try:
            fields = line.split(",")
            if len(fields) != 3:
                raise ValueError(f"three fields are needed, got {len(fields)}")
            arrival_s, prompt = _seconds(fields[0]), tokens(fields[1], "ContextTokens", least=0)
            output = tokens(fields[2], "GeneratedTokens", least=0)
        except ValueError as error:
            raise DatasetError(f"{path}:{number}: {error}") from error
        if output > 0:
            records.append(
                Record(prompt="", prompt_tokens=max(1, prompt), output_tokens=output, arrival_s=arrival_s)
            )
    return records


def _seconds(text: str) -> float:
    """Unix seconds of a UTC instant with any number of decimals."""
    match = _INSTANT.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"'TIMESTAMP' must be like 2023-11-16 18:17:03.97, got {text!r:.40}")
    whole = datetime.fromisoformat(f"{match[1]}T{match[2]}").replace(tzinfo=UTC)
    return whole.timestamp() + float(match[3] or 0)

"""`TraceSource`: what a replay reads, whatever kind of file it is."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from sagesched_emulator.dataset import DEFAULT_MAX_TOKENS, DatasetError, Record, read_dataset
from sagesched_replay.formats import azure, lengths, mooncake, servegen
from sagesched_replay.formats.text import digest_of, lines_of


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceSource:
    """Records of a file, and what to call it.

    Attributes:
        name: of the file.
        kind: `dataset`, `azure`, `mooncake`, `servegen` or `lengths`.
        digest: of its bytes.
        records: at least one.
        has_prompts: whether its lines may hold text; the public traces have lengths only.
    """

    name: str
    kind: str
    digest: str
    records: Sequence[Record]
    has_prompts: bool


_READERS: Mapping[str, Callable[[Path], list[Record]]] = {
    "azure": azure.read_azure,
    "mooncake": mooncake.read_mooncake,
    "lengths": lengths.read_lengths,
}


def read_source(
    path: Path,
    *,
    needs_prompts: bool,
    num_requests: int,
    seed: int,
    from_s: float = 0.0,
    max_tokens: int | None = None,
) -> TraceSource:
    """Read a file or folder of any known kind, told from its first line.

    Args:
        path: the file; `.xz` and `.gz` are unpacked but for the dataset format.
        needs_prompts: refuse what has none.
        num_requests: how many are drawn where the file holds statistics only.
        seed: decides what is drawn then.
        from_s: seconds after the first arrival of the file at which to begin.
        max_tokens: cap of requests whose file has none; None for a power of two above all of them.

    Raises:
        DatasetError: the file cannot be used; the message names it, its line, and what to change.
    """
    kind = kind_of(path)
    if kind == "dataset":
        records = read_dataset(path, needs_prompts=needs_prompts)
        return TraceSource(
            name=path.name,
            kind=kind,
            digest=digest_of(path),
            records=begun_at(records, from_s),
            has_prompts=True,
        )
    if needs_prompts:
        raise DatasetError(
            f"{path}: this kind of trace ({kind}) has lengths and no prompts, which a predictor needs; "
            "replay it with '--distribution by-prompt-tokens' or 'none'"
        )
    if kind == "servegen":
        rates, hists = servegen.tables_in(path) or (path, path) if path.is_dir() else (path, path)
        hists = servegen.lengths_beside(path) if not path.is_dir() else hists
        drawn = servegen.draw_servegen(rates, hists, num_requests=num_requests, from_s=from_s, seed=seed)
        digest, records = digest_of(rates, hists), drawn
    else:
        digest, records = digest_of(path), begun_at(_READERS[kind](path), from_s)
    if not records:
        raise DatasetError(f"{path}: no requests")
    return TraceSource(
        name=path.name,
        kind=kind,
        digest=digest,
        records=capped(records, max_tokens),
        has_prompts=False,
    )


def kind_of(path: Path) -> str:
    """The kind of a file or folder, by its first line.

    Raises:
        DatasetError: it is none that is known, or cannot be read.
    """
    if path.is_dir():
        if servegen.tables_in(path) is None:
            raise DatasetError(f"{path}: a folder without '*_client_rates.csv' and '*_length_hists.jsonl'")
        return "servegen"
    first = next(lines_of(path), None)
    if first is None:
        raise DatasetError(f"{path}: no records; the file is empty")
    line = first[1]
    if line.startswith("{"):
        return "mooncake" if _is_mooncake(line) else "dataset"
    if line == azure.HEADING:
        return "azure"
    if line == servegen.HEADING:
        return "servegen"
    if lengths.columns_of(line) is not None:
        return "lengths"
    if path.suffix in (".jsonl", ".json"):
        return "dataset"  # whose reader says what is wrong with the line
    raise DatasetError(
        f"{path}:1: not a trace that replay knows: JSON lines, or a CSV that begins with {azure.HEADING!r}, "
        f"{','.join(lengths.COLUMNS[0])!r} or {','.join(lengths.COLUMNS[1])!r}"
    )


def _is_mooncake(line: str) -> bool:
    try:
        fields = json.loads(line)
    except json.JSONDecodeError:
        return False
    return isinstance(fields, dict) and fields.keys() >= mooncake.FIELDS


def begun_at(records: Sequence[Record], from_s: float) -> list[Record]:
    """Records that arrive `from_s` seconds after the first, or later; all where none says when."""
    arrivals = [record.arrival_s for record in records if record.arrival_s is not None]
    if not arrivals or from_s <= 0:
        return list(records)
    begin = min(arrivals) + from_s
    return [record for record in records if record.arrival_s is None or record.arrival_s >= begin]


def capped(records: Sequence[Record], max_tokens: int | None) -> list[Record]:
    """The same cap for all, since the file has none; it tells nothing of a single request's length."""
    if max_tokens is None:
        longest = max(record.output_tokens or 1 for record in records)
        max_tokens = max(DEFAULT_MAX_TOKENS, 2 ** math.ceil(math.log2(longest + 1)))
    return [replace(record, max_tokens=max_tokens) for record in records]

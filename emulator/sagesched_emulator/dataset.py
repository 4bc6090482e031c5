"""The dataset format: one JSON object per line, a prompt and how long its answers are.

Fields: `prompt`, and `output_tokens` or `output_samples`, or both; optional `prompt_tokens`, `max_tokens`,
`arrival_s`, `model`, `dataset`, `id`, `tenant`, `priority`, `deadline_s`. A line with samples says how long
answers to this prompt are, and a trace draws one of them as what happens. A line with `output_tokens` says
what happened; samples beside it are other answers to the same prompt; with `censored` true it was cut off
there. `max_tokens` is a field of its own with a fixed default, because a gateway may see it and must learn
nothing about the true length from it. Unknown fields are ignored, so that a user's own log can serve.

A gateway's own recording is such a file. Its lines have an `outcome`; those of requests that ended before
their first token say nothing about lengths and are skipped. It may have been made without prompts: whoever
needs none says so, and then `prompt_tokens` stands for them.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

DEFAULT_MAX_TOKENS = 2048


class DatasetError(ValueError):
    """A dataset file that cannot be used; the message names file and line and says what to change."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One line of a dataset.

    Attributes:
        prompt: the prompt's text; empty where the file was made without and the reader needs none.
        output_tokens: length of the answer that happened, >= 1; None when it is drawn from `output_samples`.
        output_samples: lengths of answers to this prompt, each >= 1.
        prompt_tokens: prompt length in the model's tokens, >= 1; None when not known.
        max_tokens: the caller's cap on output tokens, >= 1.
        arrival_s: instant of arrival, seconds from any origin; None when arrivals are to be drawn.
        model: name of the model that answered.
        dataset: where the prompt comes from, for tables.
        id: the request's own name, if it has one.
        censored: the answer was cut off at `output_tokens`, whatever `max_tokens` is.
        tenant: on whose behalf it came; empty where not told.
        priority: its band, higher first.
        deadline_s: seconds from arrival until its last token is wanted, above 0; None for no deadline.
    """

    prompt: str
    output_tokens: int | None = None
    output_samples: tuple[int, ...] = ()
    prompt_tokens: int | None = None
    max_tokens: int = DEFAULT_MAX_TOKENS
    arrival_s: float | None = None
    model: str = ""
    dataset: str = ""
    id: str | None = None
    censored: bool = False
    tenant: str = ""
    priority: int = 0
    deadline_s: float | None = None


def read_dataset(path: str | Path, *, needs_prompts: bool = True) -> list[Record]:
    """Read a JSONL dataset; empty lines are skipped.

    Args:
        path: the file.
        needs_prompts: False takes lines with `prompt_tokens` instead of a prompt too.

    Raises:
        DatasetError: the file cannot be read, holds no record, or a line is wrong (the message says which).
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise DatasetError(f"{path}: cannot be read: {reason}") from error
    records = []
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            try:
                record = _parsed(line, needs_prompts)
            except ValueError as error:
                raise DatasetError(f"{path}:{number}: {error}") from error
            if record is not None:
                records.append(record)
    if not records:
        raise DatasetError(f"{path}: no records; each line must be a JSON object with 'prompt' and a length")
    return records


def write_dataset(path: str | Path, records: Iterable[Record]) -> None:
    """Write records as JSONL, leaving out fields that are unset; the folder must exist."""
    with Path(path).open("w", encoding="utf-8") as file:
        for record in records:
            file.write(json.dumps(_unparsed(record), ensure_ascii=False) + "\n")


def _parsed(line: str, needs_prompts: bool) -> Record | None:
    try:
        fields = json.loads(line)
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON: {error.msg} at column {error.colno}") from error
    if not isinstance(fields, dict):
        raise ValueError(f"a JSON object is needed, got {type(fields).__name__}")
    samples = _samples(fields)
    if fields.get("outcome") is not None and not fields.get("output_tokens") and not samples:
        return None
    prompt, prompt_tokens = _text(fields, "prompt"), _count(fields, "prompt_tokens")
    if not prompt:
        _check_promptless(fields, prompt_tokens, needs_prompts)
    output_tokens = _count(fields, "output_tokens")
    if output_tokens is None and not samples:
        raise ValueError("needs 'output_tokens' or 'output_samples'")
    max_tokens = _count(fields, "max_tokens")
    return Record(
        prompt=prompt,
        output_tokens=output_tokens,
        output_samples=samples,
        prompt_tokens=prompt_tokens,
        max_tokens=DEFAULT_MAX_TOKENS if max_tokens is None else max_tokens,
        arrival_s=_instant(fields, "arrival_s"),
        model=_text(fields, "model"),
        dataset=_text(fields, "dataset"),
        id=_text(fields, "id") or None,
        censored=_flag(fields, "censored"),
        tenant=_text(fields, "tenant"),
        priority=_band(fields, "priority"),
        deadline_s=_instant(fields, "deadline_s"),
    )


def _check_promptless(fields: Mapping[str, object], prompt_tokens: int | None, needs_prompts: bool) -> None:
    is_recording = fields.get("outcome") is not None
    if needs_prompts and is_recording:
        raise ValueError(
            "a recording without prompts, which are needed here; record with 'recorder.prompts: Keep', or "
            "replay with '--distribution none'"
        )
    if needs_prompts:
        raise ValueError("'prompt' is missing or empty")
    if prompt_tokens is None:
        raise ValueError("'prompt' is missing or empty, and so is 'prompt_tokens'")


_PLAIN = (
    *("output_tokens", "prompt_tokens", "max_tokens", "arrival_s", "model", "dataset", "id", "tenant"),
    "deadline_s",
)


def _unparsed(record: Record) -> dict[str, object]:
    fields: dict[str, object] = {"prompt": record.prompt} if record.prompt else {}
    if record.output_samples:
        fields["output_samples"] = list(record.output_samples)
    for name in _PLAIN:
        value = getattr(record, name)
        if value not in (None, ""):
            fields[name] = value
    if record.censored:
        fields["censored"] = True
    if record.priority:
        fields["priority"] = record.priority
    return fields


def _text(fields: Mapping[str, object], name: str) -> str:
    value = fields.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise ValueError(f"'{name}' must be a string, got {value!r:.40}")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        half = f"{value[error.start]!a}".strip("'")
        raise ValueError(
            f"'{name}' holds half of a character ({half}, a lone surrogate): cut it off"
        ) from error
    return value


def _flag(fields: Mapping[str, object], name: str) -> bool:
    value = fields.get(name)
    if value is None:
        return False
    if not isinstance(value, bool):
        raise ValueError(f"'{name}' must be true or false, got {value!r:.40}")
    return value


def _count(fields: Mapping[str, object], name: str) -> int | None:
    value = fields.get(name)
    return None if value is None else _whole(value, name)


def _whole(value: object, name: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"'{name}' must be a whole number >= 1, got {value!r:.40}")
    return value


def _samples(fields: Mapping[str, object]) -> tuple[int, ...]:
    values = fields.get("output_samples")
    if values is None:
        return ()
    if not isinstance(values, list):
        raise ValueError(f"'output_samples' must be a list of token counts, got {values!r:.40}")
    return tuple(_whole(value, "output_samples") for value in values)


def _band(fields: Mapping[str, object], name: str) -> int:
    value = fields.get(name)
    if value is None:
        return 0
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"'{name}' must be a whole number, got {value!r:.40}")
    return value


def _instant(fields: Mapping[str, object], name: str) -> float | None:
    value = fields.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value < 0:
        raise ValueError(f"'{name}' must be seconds >= 0, got {value!r:.40}")
    return float(value)

"""The dataset format as this package reads it: JSON lines, a prompt and how long its answers were.

`prompt`, and `output_tokens` or `output_samples` or both; optional `prompt_tokens` (a quarter of its bytes
where left out), `max_tokens` (no cap where left out), `model`, `dataset`, `id`, `censored` (true where the
answers were cut off), and what else a gateway knows: `temperature`, `top_p`, `system_prompt`, `has_tools`,
`wants_json`, `thinking`. Other fields are ignored. A gateway's recording made with its prompts is such a
file; its lines without a token, or of callers that sent tokens instead of text, are skipped.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from sagesched_predictor.errors import DatasetError
from sagesched_predictor.features import Outcome, PromptFeatures

Samples = Literal["first", "each"]

# For a line that does not say how many tokens its prompt has.
BYTES_PER_TOKEN = 4
# Whole numbers up to here are exact wherever they go.
MOST_TOKENS = 2**53 - 1


@dataclass(frozen=True, slots=True)
class Example:
    """One line of a dataset.

    Attributes:
        features: the prompt.
        output_tokens: lengths seen for it, tokens; those at max_tokens or above were cut off there.
        is_cut_off: all of them were cut off where they ended.
        happened: the length that the line gives as what happened, where it tells it from others; tokens.
        dataset: where the prompt comes from, for tables; empty when not told.
    """

    features: PromptFeatures
    output_tokens: tuple[int, ...]
    is_cut_off: bool = False
    happened: int | None = None
    dataset: str = ""

    def outcomes(self, samples: Samples) -> list[Outcome]:
        """What a gateway would have observed, for the first or for each of the lengths."""
        return [
            self.outcome(n) for n in (self.output_tokens[:1] if samples == "first" else self.output_tokens)
        ]

    def outcome(self, output_tokens: int) -> Outcome:
        """What a gateway would have observed of an answer of this natural length."""
        limit = self.features.max_tokens
        is_capped = 0 < limit <= output_tokens
        return Outcome(
            output_tokens=limit if is_capped else output_tokens, censored=self.is_cut_off or is_capped
        )


def read_examples(path: Path, model: str | None = None) -> Iterator[Example]:
    """Read a dataset line by line.

    Args:
        path: the file.
        model: name to record all lines under; each line's own `model` when None.

    Raises:
        DatasetError: the file cannot be read, a line is wrong (it is named), or all are a gateway's that tell
            too little.
    """
    num_lines = num_examples = 0
    try:
        with path.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, start=1):
                if not line.strip():
                    continue
                num_lines += 1
                example = _example(f"{path}:{number}", line, model)
                if example is not None:
                    num_examples += 1
                    yield example
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"{path}: cannot be read: {error}") from error
    if num_lines and not num_examples:
        raise DatasetError(
            f"{path}: no line has both a prompt and an answer; record with `recorder.prompts: Keep`"
        )


def _example(place: str, line: str, model: str | None) -> Example | None:
    try:
        fields = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise DatasetError(f"{place}: not JSON: {error}") from None
    is_recorded = isinstance(fields, dict) and "outcome" in fields
    if is_recorded and (fields.get("output_tokens") == 0 or "prompt" not in fields):
        return None
    if not isinstance(fields, dict) or not isinstance(fields.get("prompt"), str):
        raise DatasetError(f"{place}: expected a JSON object with a string `prompt`")
    prompt = fields["prompt"]
    estimate = -(-len(prompt.encode("utf-8", "surrogatepass")) // BYTES_PER_TOKEN)
    features = PromptFeatures(
        prompt=prompt,
        prompt_tokens=_tokens(place, "prompt_tokens", fields.get("prompt_tokens"), estimate),
        max_tokens=_tokens(place, "max_tokens", fields.get("max_tokens"), 0),
        model=str(fields.get("model") or "") if model is None else model,
        temperature=_number(place, "temperature", fields.get("temperature")),
        top_p=_number(place, "top_p", fields.get("top_p")),
        system_prompt=str(fields.get("system_prompt") or ""),
        has_tools=fields.get("has_tools") is True,
        wants_json=fields.get("wants_json") is True,
        thinking=fields.get("thinking") is True,
    )
    happened = fields.get("output_tokens")
    return Example(
        features,
        _lengths(place, fields),
        fields.get("censored") is True,
        None if happened is None else _tokens(place, "output_tokens", happened, 0),
        str(fields.get("dataset") or ""),
    )


def _lengths(place: str, fields: dict[str, Any]) -> tuple[int, ...]:
    name, samples = "output_samples", fields.get("output_samples")
    if samples is None:
        name, samples = "output_tokens", [fields.get("output_tokens")]
    if not isinstance(samples, list) or not samples or None in samples:
        raise DatasetError(f"{place}: `output_tokens` or a list `output_samples` is needed")
    return tuple(_tokens(place, name, sample, 0) for sample in samples)


def _tokens(place: str, name: str, value: Any, default: int) -> int:
    if value is None:
        return default
    # A table with gaps, written as JSON, has whole numbers as 24.0.
    whole = int(value) if isinstance(value, float) and value.is_integer() else value
    if isinstance(whole, bool) or not isinstance(whole, int) or not 0 <= whole <= MOST_TOKENS:
        raise DatasetError(
            f"{place}: `{name}`: expected a whole number from 0 to {MOST_TOKENS}, got {value!r}"
        )
    return whole


def _number(place: str, name: str, value: Any) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= sys.float_info.max:
        raise DatasetError(f"{place}: `{name}`: expected a number, got {value!r}")
    return float(value)

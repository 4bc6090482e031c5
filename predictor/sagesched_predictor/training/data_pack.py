"""Published data as training examples: which sets may be used, and how each is read.

A folder of the pack holds `lengths.csv.xz` and `prompts.jsonl.xz`. Only sets under permissive or share-alike
terms are read; what may not go into a shipped model (CASTILLO's Alpaca and ShareGPT prompts, alpaca_eval) has
no entry here, so no option can bring it in by mistake.
"""

from __future__ import annotations

import csv
import json
import lzma
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sagesched_predictor.errors import DatasetError
from sagesched_predictor.training.examples import TrainingExample

Row = Mapping[str, str]
Prompts = dict[tuple[str, ...], str]

CASTILLO_CAP = 15_000
# Twenty of MMLU-Pro's models were cut at 256 of their own tokens, which are at least so many of GPT-2's.
MMLU_PRO_CAP = 235
MMLU_PRO_UNCAPPED = ("DeepSeek-Coder-V2", "Llama-3.1", "gemini-1.5", "mathstral", "jamba", "Jamba")
# OASST's caps are in the models' tokens, the lengths in GPT-2's; above this share of the cap an answer counts
# as cut.
SHARE_OF_CAP = 0.9


@dataclass(frozen=True, slots=True)
class Source:
    """One set of the pack.

    Attributes:
        folder: its folder in the pack.
        licence: under which its lengths and prompts stand.
        attribution: who published it.
        key: columns that name a prompt, in `lengths.csv.xz` and `prompts.jsonl.xz` alike.
        read: one row of `lengths.csv.xz` -> the set's name, the lengths and the cap; None leaves the row out.
    """

    folder: str
    licence: str
    attribution: str
    key: tuple[str, ...]
    read: Callable[[Row], tuple[str, list[int], int] | None]


def _castillo(row: Row) -> tuple[str, list[int], int] | None:
    name = row["dataset"]
    if name not in CASTILLO_SETS:
        return None
    return name, [int(row[f"o{i}"]) for i in range(10)], CASTILLO_CAP


def _mmlu_pro(row: Row) -> tuple[str, list[int], int]:
    cap = 0 if any(part in row["model"] for part in MMLU_PRO_UNCAPPED) else MMLU_PRO_CAP
    return "MMLU-Pro", [int(row["out_gpt2"])], cap


def _oasst(row: Row) -> tuple[str, list[int], int] | None:
    cap = int(float(row["max_new_tokens"] or 0) * SHARE_OF_CAP)
    return "OASST", [int(row["out_gpt2"])], cap


def _zeroeval(row: Row) -> tuple[str, list[int], int] | None:
    cap = int(float(row["max_tokens"] or 0) * SHARE_OF_CAP)
    return row["task"], [int(row["out_gpt2"])], cap


def _gsm8k(row: Row) -> tuple[str, list[int], int]:
    return "GSM8K", [int(row["out_gpt2"])], 0


def _llmdrift(row: Row) -> tuple[str, list[int], int]:
    cap = int(float(row["max_tokens"] or 0) * SHARE_OF_CAP)
    return row["dataset"], [int(row["out_gpt2"])], cap


def _skythought(row: Row) -> tuple[str, list[int], int]:
    return row["task"], [int(row["out_gpt2"])], 0


CASTILLO_SETS = {
    "DollyDataset": "CC-BY-SA-3.0, Databricks",
    "Apps": "MIT, Hendrycks et al.",
    "Mbpp": "CC-BY-4.0, Google Research",
    "BigCodeBench": "Apache-2.0, BigCode",
    "DS1000": "CC-BY-SA-4.0, Lai et al.",
}

SOURCES: tuple[Source, ...] = (
    Source(
        "castillo",
        "Apache-2.0 (lengths); prompts: " + "; ".join(f"{k} {v}" for k, v in CASTILLO_SETS.items()),
        "DanielFPerez/castillo_code, CASTILLO (arXiv 2505.16881)",
        ("dataset", "prompt_id"),
        _castillo,
    ),
    Source("mmlu_pro_outputs", "Apache-2.0", "TIGER-AI-Lab/MMLU-Pro", ("question_id",), _mmlu_pro),
    Source("oasst_sampling_reports", "Apache-2.0", "Open-Assistant/oasst-model-eval", ("prompt_id",), _oasst),
    Source("zeroeval", "Apache-2.0", "WildEval/ZeroEval", ("task", "prompt_id"), _zeroeval),
    Source(
        "gsm8k_multi_model",
        "MIT (grade-school-math, ToRA); Apache-2.0 (RouteLLM)",
        "openai/grade-school-math, microsoft/ToRA, lm-sys/RouteLLM",
        ("prompt_id",),
        _gsm8k,
    ),
    Source("llmdrift", "Apache-2.0", "lchen001/LLMDrift", ("dataset", "prompt_id"), _llmdrift),
    Source("skythought_reasoning", "Apache-2.0", "NovaSky-AI/SkyThought", ("task", "prompt_id"), _skythought),
)


def read_pack(folder: Path) -> Iterator[TrainingExample]:
    """All usable examples of a data pack, source by source, one per prompt and model.

    Raises:
        DatasetError: no source of the pack is in the folder, or one is damaged.
    """
    found = [source for source in SOURCES if (folder / source.folder / "lengths.csv.xz").is_file()]
    if not found:
        raise DatasetError(
            f"{folder}: no data pack; expected folders such as {SOURCES[0].folder}/ with lengths.csv.xz"
        )
    for source in found:
        yield from _read_source(folder / source.folder, source)


def _read_source(folder: Path, source: Source) -> Iterator[TrainingExample]:
    try:
        prompts = _prompts(folder / "prompts.jsonl.xz", source.key)
        lengths: dict[tuple[str, ...], list[int]] = defaultdict(list)
        about: dict[tuple[str, ...], tuple[str, int, Row]] = {}
        row: Row
        with lzma.open(folder / "lengths.csv.xz", "rt", encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                read = source.read(row)
                prompt_key = tuple(row[name] for name in source.key)
                if read is None or prompt_key not in prompts:
                    continue
                name, tokens, cap = read
                key = (*prompt_key, row["model"], row.get("temp") or row.get("temperature") or "", str(cap))
                lengths[key] += [max(1, length) for length in tokens]
                about.setdefault(key, (name, cap, row))
    except (OSError, EOFError, lzma.LZMAError, KeyError, TypeError, ValueError) as error:
        raise DatasetError(f"{folder}: cannot be read: {error!r}") from error
    for key, samples in lengths.items():
        name, cap, row = about[key]
        # Sampling parameters are left unset: here each model has its own, and they would stand for its name.
        yield TrainingExample(
            prompt=prompts[key[: len(source.key)]],
            dataset=name,
            model=f"{source.folder}/{row['model']}",
            lengths=tuple(min(length, cap) if cap else length for length in samples),
            cap=cap,
            prompt_tokens=_number(row, "in_tok", "in_gpt2", "q_gpt2"),
        )


def _prompts(path: Path, key: tuple[str, ...]) -> Prompts:
    with lzma.open(path, "rt", encoding="utf-8") as file:
        lines: list[dict[str, Any]] = [json.loads(line) for line in file]
    return {tuple(str(line[name]) for name in key): line["prompt"] for line in lines}


def _number(row: Row, *names: str) -> int | None:
    value = _float(row, *names)
    return None if value is None else int(value)


def _float(row: Row, *names: str) -> float | None:
    for name in names:
        if row.get(name):
            return float(row[name])
    return None

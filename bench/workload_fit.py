"""Fit the workload generator's numbers to CASTILLO and print them.

With `--python`, print the table as `workload/fitted.py` holds it.

Each task of the generator has a selector: prompt sets, categories and words that pick the recorded prompts it
stands for. Of those we keep numbers only: quantiles over prompts of the typical answer length (geometric mean
of the ten answers) and of the prompt length, and how far the ten answers to one prompt lie apart (standard
deviation of the log). Answers are cut at 2,048 tokens; those that ran into the publisher's cap are counted
apart as run-away answers.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from castillo import DEFAULT_MODEL, LengthRow, default_data_folder, read_castillo

from sagesched_emulator.dataset import DEFAULT_MAX_TOKENS, DatasetError

LEVELS = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)
PUBLISHED_CAP = 15000
PROSE_SETS = ("Alpaca", "DollyDataset", "ShareGPT")


@dataclass(frozen=True, slots=True)
class Selector:
    """Which recorded prompts a task stands for: by set, then by category or words where given."""

    datasets: tuple[str, ...] = PROSE_SETS
    categories: tuple[str, ...] = ()
    words: str = ""

    def matches(self, row: LengthRow) -> bool:
        """True where the task stands for this prompt."""
        if row.dataset not in self.datasets:
            return False
        by_words = bool(self.words) and re.search(self.words, row.prompt, re.IGNORECASE) is not None
        return not (self.categories or self.words) or row.category in self.categories or by_words


SELECTORS = {
    "question": Selector(categories=("open_qa",)),
    "explanation": Selector(categories=("general_qa",), words=r"\bexplain|\bhow (does|do)\b"),
    "classification": Selector(categories=("classification",), words=r"\bclassif|\bcategor"),
    "extraction": Selector(categories=("information_extraction",), words=r"\bextract"),
    "answer_from_text": Selector(categories=("closed_qa",)),
    "summary": Selector(categories=("summarization",), words=r"\bsummar"),
    "ideas": Selector(categories=("brainstorming",), words=r"\blist of|\bideas\b|\btips\b"),
    "story": Selector(categories=("creative_writing",), words=r"\bstory|\bpoem|\btale\b"),
    "rewriting": Selector(words=r"\brewrite|\brephrase|\bparaphrase|\bcorrect the|\bedit the"),
    "email": Selector(words=r"\be-?mail|\bletter to\b"),
    "plan": Selector(words=r"\bplan\b|\bitinerary|\boutline|\bschedule"),
    "table": Selector(words=r"\bjson\b|\btable\b|\bcsv\b"),
    "maths": Selector(words=r"\bcalculate|\bsolve\b|\bhow many|\bequation"),
    "chat": Selector(datasets=("ShareGPT",)),
    "function": Selector(datasets=("Mbpp",)),
    "program": Selector(datasets=("BigCodeBench",)),
    "contest": Selector(datasets=("Apps",)),
}

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """Numbers of one task.

    Attributes:
        num_prompts: how many recorded prompts they come from.
        answer_tokens: typical answer length of a prompt at `LEVELS`, tokens.
        prompt_tokens: prompt length at `LEVELS`, tokens.
        spread: median over prompts of the standard deviation of log answer length.
        spread_p90: its 90th percentile.
        mean_tokens: mean answer length, cut at max_tokens.
        runaway: share of answers at the publisher's cap.
    """

    num_prompts: int
    answer_tokens: tuple[int, ...]
    prompt_tokens: tuple[int, ...]
    spread: float
    spread_p90: float
    mean_tokens: float
    runaway: float


def fit_task(rows: Sequence[LengthRow]) -> Fit:
    """Fit one task to its rows, at least one."""
    answers = np.array([row.output_samples for row in rows], dtype=np.float64)
    runaway = answers >= PUBLISHED_CAP
    logs = np.log(np.minimum(answers, DEFAULT_MAX_TOKENS))
    logs[runaway] = np.nan  # drawn apart: one of them would triple a prompt's spread
    usable = logs[(~runaway).sum(axis=1) >= 2]
    spreads = np.nanstd(usable, axis=1, ddof=1)
    prompts = np.array([row.prompt_tokens for row in rows], dtype=np.float64)
    return Fit(
        num_prompts=len(rows),
        answer_tokens=_rounded(np.exp(np.quantile(np.nanmean(usable, axis=1), LEVELS))),
        prompt_tokens=_rounded(np.quantile(prompts, LEVELS)),
        spread=round(float(np.median(spreads)), 3),
        spread_p90=round(float(np.quantile(spreads, 0.9)), 3),
        mean_tokens=float(np.minimum(answers, DEFAULT_MAX_TOKENS).mean()),
        runaway=float(runaway.mean()),
    )


def _rounded(values: FloatArray) -> tuple[int, ...]:
    return tuple(max(1, round(float(value))) for value in values)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default=DEFAULT_MODEL, help="model as published (default: %(default)s)")
    parser.add_argument("--data", type=Path, default=default_data_folder(), help="folder with castillo/")
    parser.add_argument("--python", action="store_true", help="print the source of the fitted table")
    arguments = parser.parse_args(argv)
    try:
        rows = read_castillo(arguments.data, arguments.model)
    except DatasetError as error:
        print(f"workload_fit: {error}", file=sys.stderr)
        return 2
    fits = {
        task: fit_task([row for row in rows if selector.matches(row)]) for task, selector in SELECTORS.items()
    }
    fits["all"] = fit_task(rows)
    print(_as_python(fits) if arguments.python else _as_table(fits))
    return 0


def _as_python(fits: Mapping[str, Fit]) -> str:
    return "\n".join(
        f'    "{task}": TaskLengths(\n'
        f"        answer_tokens={fit.answer_tokens},\n        prompt_tokens={fit.prompt_tokens},\n"
        f"        spread={fit.spread},\n        spread_p90={fit.spread_p90},\n    ),"
        for task, fit in fits.items()
    )


def _as_table(fits: Mapping[str, Fit]) -> str:
    title = f"{'task':18} {'prompts':>7} {'mean':>6} {'spread':>7} {'p90':>6} {'run-away':>9}"
    return "\n".join(
        [f"{title}  answers | prompts, tokens at levels {LEVELS}"]
        + [
            f"{task:18} {fit.num_prompts:7} {fit.mean_tokens:6.0f} {fit.spread:7.2f} {fit.spread_p90:6.2f} "
            f"{fit.runaway:9.2%}  {fit.answer_tokens} | {fit.prompt_tokens}"
            for task, fit in fits.items()
        ]
    )


if __name__ == "__main__":
    sys.exit(main())

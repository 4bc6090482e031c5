"""What the predictor has seen before the demo: answers to other prompts, made once and given to every run."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from sagesched_emulator.dataset import Record, write_dataset
from sagesched_emulator.demo.errors import StartError

ANSWERED_FILE = "warm.jsonl"
"""What the history was made from: prompts, each with the one answer it got."""


def one_answer_each(records: Sequence[Record], seed: int) -> list[Record]:
    """Records as a log would hold them: each prompt with the one answer it got, cut at `max_tokens`."""
    rng = np.random.default_rng(np.random.SeedSequence([seed, 0x3A93]))
    answered = []
    for record in records:
        pick = int(rng.integers(max(1, len(record.output_samples))))
        tokens = record.output_samples[pick] if record.output_tokens is None else record.output_tokens
        answered.append(
            replace(record, output_tokens=min(tokens, record.max_tokens), output_samples=(), arrival_s=None)
        )
    return answered


def find_encoder() -> Path:
    """Folder of the exported encoder, made now where it is not in the cache.

    Raises:
        StartError: it cannot be made.
    """
    return Path(_predictor_tool("export").strip().splitlines()[-1])


def warm_history(
    records: Sequence[Record], encoder: Path, folder: Path, *, model: str, seed: int
) -> Path | None:
    """Write a history of the records' answers to a file that predictors start from; None without records.

    Args:
        records: what was asked and answered before.
        encoder: folder of the exported encoder.
        folder: where the file goes, and `ANSWERED_FILE` with what it was made from.
        model: name of the served model that the gateway will ask for.
        seed: decides which of several answers happened.

    Raises:
        StartError: the predictor's tool failed.
    """
    answered = folder / ANSWERED_FILE
    write_dataset(answered, one_answer_each(records, seed))
    if not records:
        return None
    history = folder / "history.npz"
    choices = ("--artifact", str(encoder), "--model", model)
    _predictor_tool("warm", "--data", str(answered), "--out", str(history), *choices)
    return history


def _predictor_tool(*arguments: str) -> str:
    """Run `sagesched-predictor`; returns what it printed."""
    command = [str(Path(sys.executable).with_name("sagesched-predictor")), *arguments]
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            printed, errors = process.communicate()
        except BaseException:
            process.kill()
            raise
    if process.returncode != 0:
        last_line = (errors.strip().splitlines() or ["no message"])[-1]
        raise StartError(f"`sagesched-predictor {arguments[0]}` failed: {last_line}")
    return printed

"""`train`: a predictor of one's own, from published sets or recorded traffic."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from sagesched_predictor.commands.options import at_least, positive
from sagesched_predictor.errors import PredictorError

DESCRIPTION = """\
Trains on folders of the data pack, on JSONL files in the dataset format (a gateway's recording made with its
prompts is one), or on both, and writes an artifact that `evaluate`, `predict` and the gateway take by its
folder. One prompt in five is held out by a rule on its text, and the card has the scores on these. The same
data and seed give the same artifact on the same machine."""


def add(parser: argparse.ArgumentParser) -> None:
    """Fill in the parser."""
    parser.description = DESCRIPTION
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument(
        "--data", type=Path, required=True, action="append", metavar="PATH", help="folder or file; repeatable"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="the artifact to write")
    parser.add_argument(
        "--seed", type=at_least(0), default=0, help="decides all that is drawn (default: %(default)s)"
    )
    parser.add_argument(
        "--steps", type=positive, default=2500, help="of the optimiser (default: %(default)s)"
    )
    parser.add_argument("--threads", type=positive, default=2, help="of the encoder (default: %(default)s)")
    parser.set_defaults(run=_run)


def _run(parsed: argparse.Namespace) -> None:
    try:
        from sagesched_predictor.training.fitting import FitOptions
        from sagesched_predictor.training.pipeline import Progress, train
    except ImportError as error:
        raise PredictorError(f"training needs {error.name}: install the extra `train`") from error
    options = FitOptions(seed=parsed.seed, steps=parsed.steps)
    card = train(
        parsed.data, parsed.out, options, threads=parsed.threads, progress=Progress(_Counter(), _say_step)
    )
    print(json.dumps(card["figures"], indent=2))
    done = card["training"]
    print(f"{parsed.out}: trained on {done['answers']} answers to {done['prompts']} prompts")


class _Counter:
    """Says how many prompts the encoder has done, each two thousand."""

    def __init__(self) -> None:
        self._done = 0

    def __call__(self, number: int) -> None:
        before, self._done = self._done, self._done + number
        if before // 2000 != self._done // 2000:
            print(f"{self._done} prompts encoded", file=sys.stderr, flush=True)


def _say_step(step: int, loss: float) -> None:
    if step % 500 == 0:
        print(f"step {step}, loss {loss:.4f}", file=sys.stderr, flush=True)

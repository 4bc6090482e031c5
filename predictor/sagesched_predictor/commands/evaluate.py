"""`evaluate`: how good a predictor is on a file of prompts with known lengths."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from sagesched_predictor.artifact import EncoderArtifact
from sagesched_predictor.commands.options import (
    add_encoder_options,
    artifact_of,
    at_least,
    encoder_options,
    tell,
)
from sagesched_predictor.dataset import read_examples
from sagesched_predictor.errors import PredictorError
from sagesched_predictor.evaluation import draw_actuals, evaluate
from sagesched_predictor.opening import open_predictor

DESCRIPTION = """\
Predicts every line of the file, one after the other, and compares with what happened: the line's
"output_tokens", or else one of its "output_samples", drawn by --seed. With --adapt N the first N lines are
observed first, in order, as a pool's own traffic would be, and the rest are scored; nothing is learned from a
scored line.

  kendall_tau      order of the predicted means; kendall_ceiling: that of the mean of the line's other samples
  pinball_gain     1 - pinball loss / that of the unconditional distribution, levels 0.1 to 0.9
  coverage         how often what happened lies in the central 50, 80, 90 % interval
  latency_ms       of one prediction, tokenizing, encoder, search and head included"""


def add(parser: argparse.ArgumentParser) -> None:
    """Fill in the parser."""
    parser.description = DESCRIPTION
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--data", type=Path, required=True, metavar="FILE.jsonl", help="prompts with lengths")
    parser.add_argument("--json", type=Path, metavar="OUT", help="write the figures here too")
    parser.add_argument(
        "--adapt", type=at_least(0), default=0, metavar="N", help="observe the first N lines first"
    )
    parser.add_argument("--model", metavar="NAME", help="take all lines as of this model")
    parser.add_argument(
        "--seed", type=at_least(0), default=0, help="draws what happened (default: %(default)s)"
    )
    add_encoder_options(parser)
    parser.set_defaults(run=_run, threads=1)


def _run(parsed: argparse.Namespace) -> None:
    lines = draw_actuals(read_examples(parsed.data, parsed.model), parsed.seed)
    artifact = artifact_of(parsed)
    predictor = open_predictor(artifact, encoder_options(parsed), on_fallback=tell)
    figures = {**evaluate(predictor, lines, adapt=parsed.adapt), "artifact": _identity(artifact)}
    print(_table(figures))
    if parsed.json is not None:
        try:
            parsed.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
        except OSError as error:
            raise PredictorError(f"{parsed.json}: cannot be written: {error.strerror}") from error


def _identity(artifact: EncoderArtifact) -> dict[str, str]:
    return {name: str(digest) for name, digest in artifact.card["sha256"].items()}


def _table(figures: dict[str, Any]) -> str:
    latency = figures["latency_ms"]
    rows = [
        f"{'':28s}{'n':>7s}{'tau':>8s}{'ceiling':>9s}{'rho':>8s}{'gain':>8s}{'50%':>7s}{'80%':>7s}{'90%':>7s}",
        _row("all", figures),
        *(_row(name, group) for name, group in figures["by_model"].items()),
        *(_row(name, group) for name, group in figures["by_dataset"].items()),
        f"latency {latency['p50']:.2f} ms p50, {latency['p99']:.2f} ms p99",
        f"{figures['observed']} lines observed, {figures['unpredicted']} without a prediction",
    ]
    return "\n".join(rows)


def _row(name: str, group: dict[str, Any]) -> str:
    ceiling = group["kendall_ceiling"]
    covered = group["coverage"]
    return (
        f"{name[-28:]:28s}{group['n']:7d}{group['kendall_tau']:8.3f}"
        + ("".rjust(9) if ceiling is None else f"{ceiling:9.3f}")
        + f"{group['spearman']:8.3f}{group['pinball_gain']:8.3f}"
        + "".join(f"{covered[share]:7.3f}" for share in ("0.5", "0.8", "0.9"))
    )

"""`warm`: a history file from prompts with known lengths."""

from __future__ import annotations

import argparse
from pathlib import Path

from sagesched_predictor.commands.options import (
    add_encoder_options,
    artifact_of,
    encoder_options,
    positive,
    tell,
)
from sagesched_predictor.dataset import read_examples
from sagesched_predictor.encoder import Encoder
from sagesched_predictor.history import History
from sagesched_predictor.predictor import Predictor
from sagesched_predictor.snapshot import save_history
from sagesched_predictor.warming import warm
from sagesched_predictor.worker_settings import HISTORY_SIZE


def add(parser: argparse.ArgumentParser) -> None:
    """Fill in the parser."""
    parser.add_argument("--data", type=Path, required=True, metavar="FILE.jsonl", help="prompts with lengths")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE.npz", help="the history to write")
    parser.add_argument(
        "--model", metavar="NAME", help="record all lines under this name (the one the gateway serves)"
    )
    parser.add_argument(
        "--samples",
        choices=("first", "each"),
        default="each",
        help="which of a line's output_samples to observe (default: each)",
    )
    parser.add_argument("--size", type=positive, default=HISTORY_SIZE, help="records kept per model")
    add_encoder_options(parser)
    parser.set_defaults(run=_run)


def _run(parsed: argparse.Namespace) -> None:
    encoder = Encoder(artifact_of(parsed), encoder_options(parsed))
    if encoder.fallback:
        tell(encoder.fallback)
    history = History(encoder.dimension, size=parsed.size)
    num_observed = warm(Predictor(encoder, history), read_examples(parsed.data, parsed.model), parsed.samples)
    save_history(history, parsed.out, encoder.fingerprint)
    print(f"{parsed.out}: {len(history)} records kept of {num_observed} observed")

"""`predict`: one prompt from standard input."""

from __future__ import annotations

import argparse
import io
import sys
from pathlib import Path

from sagesched_predictor.commands.options import (
    add_encoder_options,
    artifact_of,
    encoder_options,
    positive,
    quantiles_line,
    tell,
)
from sagesched_predictor.dataset import BYTES_PER_TOKEN
from sagesched_predictor.encoder import Encoder
from sagesched_predictor.features import PromptFeatures
from sagesched_predictor.head import load_prior
from sagesched_predictor.history import History
from sagesched_predictor.predictor import Predictor
from sagesched_predictor.snapshot import load_history


def add(parser: argparse.ArgumentParser) -> None:
    """Fill in the parser."""
    parser.add_argument(
        "--history", type=Path, metavar="FILE.npz", help="what was seen before (default: the prior alone)"
    )
    parser.add_argument("--model", metavar="NAME", help="served model (default: the history's first)")
    parser.add_argument(
        "--prompt-tokens", type=positive, metavar="N", help="default: estimated from the text"
    )
    parser.add_argument("--max-tokens", type=positive, default=0, metavar="N", help="cap of the answer")
    add_encoder_options(parser)
    parser.set_defaults(run=_run)


def _run(parsed: argparse.Namespace) -> None:
    artifact = artifact_of(parsed)
    encoder = Encoder(artifact, encoder_options(parsed))
    if encoder.fallback:
        tell(encoder.fallback)
    history = History(encoder.dimension)
    if parsed.history is not None:
        load_history(history, parsed.history, encoder.fingerprint)
    if isinstance(sys.stdin, io.TextIOWrapper):
        # Whatever the locale says: a prompt may be any bytes.
        sys.stdin.reconfigure(encoding="utf-8", errors="surrogateescape")
    prompt = sys.stdin.read()
    features = PromptFeatures(
        prompt=prompt,
        prompt_tokens=parsed.prompt_tokens
        or -(-len(prompt.encode("utf-8", "surrogatepass")) // BYTES_PER_TOKEN),
        max_tokens=parsed.max_tokens,
        model=parsed.model if parsed.model is not None else next(iter(history.models), ""),
    )
    (prediction,) = Predictor(encoder, history, load_prior(artifact)).predict([features])
    print(f"source {prediction.source}, neighbours {prediction.neighbours}")
    if prediction.distribution is not None:
        print(quantiles_line(prediction.distribution))

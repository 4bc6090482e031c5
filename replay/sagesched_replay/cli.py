"""`sagesched-replay`: what would another policy have done with this traffic?"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence

from sagesched_predictor.errors import PredictorError
from sagesched_replay.engines import fit_engine, write_engine
from sagesched_replay.options import make_parser
from sagesched_replay.plan import make_plan
from sagesched_replay.progress import run_all
from sagesched_replay.reporting import write_report
from sagesched_replay.sheet import table
from sagesched_replay.study import compared
from sagesched_replay.summary import summary


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code (2 for what the caller has to correct)."""
    arguments = make_parser().parse_args(argv)
    try:
        return _fit(arguments) if arguments.command == "fit" else _run(arguments)
    except (ValueError, OverflowError, OSError, PredictorError) as error:
        message = str(error).replace("\n", " ")
        print(f"sagesched-replay: {message}", file=sys.stderr)
        return 2


def _run(arguments: argparse.Namespace) -> int:
    plan = make_plan(arguments)
    rows = compared(run_all(plan, plan.variants), arguments.seed)
    print("\n".join([*plan.heading(), table(rows)]))
    if arguments.json:
        arguments.json.write_text(json.dumps(summary(plan, rows), indent=2) + "\n", encoding="utf-8")
    if arguments.html:
        write_report(arguments.html, plan, rows)
    return 0


def _fit(arguments: argparse.Namespace) -> int:
    fitted = fit_engine(
        arguments.data,
        slots=arguments.slots,
        kv_tokens=arguments.kv_tokens,
        reserves_ahead=arguments.reserves_ahead,
    )
    print(f"{arguments.data.name} (sha256 {fitted.digest})")
    print("\n".join(fitted.lines()))
    if arguments.out:
        write_engine(arguments.out, fitted)
        print(f"written to {arguments.out}; replay with --engine {arguments.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

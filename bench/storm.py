"""Thousands of clients, and everything going wrong at once: is a single request lost?

    python bench/storm.py --requests 3000

A real tritonserver with an emulated engine behind a gateway. Clients of all faces come and go: patient, slow,
in a hurry, gone in the middle, several requests on a stream, malformed and hostile input. Meanwhile Triton is
killed and comes back on the same ports, the predictor throws, hangs or is killed, and the settings are
swapped twice a second. A ledger on the clients' side knows each request's own answer and proves that it ended
exactly once, with that answer or an error with a name. At the end of each round the gateway must hold
nothing, and its memory must not grow from one round to the next, equal one by more than `--growth`.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from sagesched_emulator.demo.warmup import find_encoder
from sagesched_emulator.storm.ledger import COMPLETE, LEFT
from sagesched_emulator.storm.storm import StormSpec, run_storm

MOST_SHOWN = 20


def main(argv: Sequence[str] | None = None) -> int:
    arguments = _parser().parse_args(argv)
    per_round = arguments.requests // arguments.rounds
    spec = StormSpec(
        requests=per_round,
        span_s=per_round / arguments.rate,
        rounds=arguments.rounds,
        seed=arguments.seed,
        encoder=None if arguments.no_predictor else find_encoder(),
    )
    with tempfile.TemporaryDirectory() as folder:
        result = run_storm(spec, Path(folder))
    print(f"{spec.rounds} rounds of {per_round} requests, {arguments.rate:g} per second, seed {spec.seed}")
    print("troubles: " + ", ".join(f"{what} {times}" for what, times in sorted(result.done.items())))
    print(f"complete {result.ends[COMPLETE]}, client left {result.ends[LEFT]}, and with an error:")
    errors = [(how, times) for how, times in result.ends.most_common() if how not in (COMPLETE, LEFT)]
    for how, times in errors[:MOST_SHOWN]:
        print(f"{times:>6}  {' '.join(how.split())[:100]}")
    print("gateway: " + ", ".join(f"{name} {number}" for name, number in sorted(result.counters.items())))
    print("memory after each round, MiB: " + ", ".join(f"{mib:.1f}" for mib in result.rss_mib))
    growth_mib = result.rss_mib[-1] - result.rss_mib[-2] if spec.rounds > 1 else 0.0
    if growth_mib > arguments.growth:
        result.problems.append(f"memory grew by {growth_mib:.1f} MiB in the last round")
    print(f"problems: {len(result.problems)}")
    for problem in result.problems[:MOST_SHOWN]:
        print(f"  {problem}")
    return 1 if result.problems else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--requests", type=int, default=3000, help="in all (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=2, help="default: %(default)s")
    parser.add_argument("--rate", type=float, default=25.0, help="per second (default: %(default)s)")
    parser.add_argument(
        "--growth", type=float, default=12.0, help="MiB allowed in the last round (default: %(default)s)"
    )
    parser.add_argument("--no-predictor", action="store_true", help="run without one")
    parser.add_argument("--seed", type=int, default=0)
    return parser


if __name__ == "__main__":
    sys.exit(main())

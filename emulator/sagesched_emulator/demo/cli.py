"""`sagesched-emulator demo`: the command line of the demo."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from sagesched_emulator.dataset import DatasetError
from sagesched_emulator.demo.errors import DemoError
from sagesched_emulator.demo.options import POLICIES as DEMO_POLICIES
from sagesched_emulator.demo.options import WARM_PROMPTS, Options
from sagesched_emulator.demo.story import run_demo
from sagesched_emulator.profiles import PROFILES
from sagesched_gateway.scheduling.policies.registry import POLICIES

SIGNALS = (signal.SIGINT, signal.SIGTERM)
EPILOG = """\
examples:
  sagesched-emulator demo
  sagesched-emulator demo --dataset prompts.jsonl --seed 1
  sagesched-emulator demo --profile slot-bound --rho 1.2 --policies fcfs gittins-boost
  sagesched-emulator demo --target triton.example:8001 --rate 4 --dataset prompts.jsonl

All times in the table are engine seconds: wall seconds divided by the time scale.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `demo` understands."""
    parser.description = (
        "Send the same trace to Triton directly and through the gateway under each policy, print one\n"
        "table, and write summary.json and picture.png. Without --target, a real tritonserver with an\n"
        "emulated engine is started for each run; no GPU is needed."
    )
    parser.epilog = EPILOG
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    trace = parser.add_argument_group("what is sent")
    trace.add_argument(
        "--dataset", type=Path, metavar="FILE", help="real prompts (JSONL); default: generated ones"
    )
    trace.add_argument(
        "--requests", type=_count, metavar="N", help="how many (default: 500 generated, 800 of a dataset)"
    )
    trace.add_argument(
        "--rho", type=_positive, metavar="R", help="load: work over span of arrivals, 1 fills the engine"
    )
    trace.add_argument(
        "--warm",
        type=_count_or_none,
        default=WARM_PROMPTS,
        metavar="N",
        help="other prompts that the predictor has seen before, at most (default: %(default)s)",
    )
    trace.add_argument(
        "--seed", type=_count_or_none, default=0, help="decides trace and warm-up (default: %(default)s)"
    )
    engine = parser.add_argument_group("what it is sent to")
    engine.add_argument(
        "--profile",
        choices=sorted(PROFILES),
        default="kv-bound",
        help="emulated engine (default: %(default)s)",
    )
    engine.add_argument(
        "--time-scale",
        type=_time_scale,
        default=None,
        metavar="X",
        help="wall seconds per engine second, or auto: start fast, all runs again slower where this machine "
        "cannot keep up (default: auto)",
    )
    engine.add_argument(
        "--stream-interval",
        type=_count,
        default=16,
        metavar="K",
        help="the emulated engine streams each K-th token (default: %(default)s)",
    )
    engine.add_argument(
        "--policies",
        nargs="+",
        choices=sorted(POLICIES),
        default=list(DEMO_POLICIES),
        metavar="P",
        help=f"run after `direct`, of {', '.join(sorted(POLICIES))} (default: {' '.join(DEMO_POLICIES)})",
    )
    target = parser.add_argument_group("your own Triton")
    target.add_argument("--target", metavar="HOST:PORT", help="gRPC address; nothing is emulated")
    target.add_argument("--target-http", metavar="HOST:PORT", help="its HTTP address (default: port - 1)")
    target.add_argument("--target-metrics", metavar="HOST:PORT", help="its metrics (default: port + 1)")
    target.add_argument("--model", default="ensemble", help="text model to ask (default: %(default)s)")
    target.add_argument(
        "--tokenizer", type=Path, metavar="FILE", help="its tokenizer.json (default: lengths are estimated)"
    )
    target.add_argument(
        "--rate", type=_positive, metavar="R", help="requests per second (default: measured, times --rho)"
    )
    parser.add_argument(
        "--out", type=Path, default=Path("build/demo"), metavar="DIR", help="results (default: %(default)s)"
    )


def run(args: argparse.Namespace) -> int:
    """Run the demo; returns the exit status."""
    options = Options(
        dataset=args.dataset,
        num_requests=args.requests,
        rho=args.rho,
        num_warm=args.warm,
        seed=args.seed,
        profile=args.profile,
        time_scale=args.time_scale,
        stream_interval=args.stream_interval,
        policies=tuple(dict.fromkeys(args.policies)),
        target=args.target,
        target_http=args.target_http,
        target_metrics=args.target_metrics,
        model=args.model,
        tokenizer=args.tokenizer,
        rate=args.rate,
        out=args.out,
    )
    try:
        with _interrupted_once():
            run_demo(options)
    except (DemoError, DatasetError, OSError) as error:
        print(f"sagesched-emulator demo: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("sagesched-emulator demo: interrupted, everything it started is stopped", file=sys.stderr)
        return 130
    return 0


@contextmanager
def _interrupted_once() -> Iterator[None]:
    """SIGTERM unwinds as Ctrl-C does, once: a second one does not cut the stopping of children short."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        del number, frame
        for signal_number in SIGNALS:
            signal.signal(signal_number, signal.SIG_IGN)
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is less than 1")
    return value


def _count_or_none(text: str) -> int:
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"{text} is less than 0")
    return value


def _positive(text: str) -> float:
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not above 0")
    return value


def _time_scale(text: str) -> float | None:
    return None if text == "auto" else _positive(text)

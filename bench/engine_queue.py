"""The queue is in the gateway, not in the engine; and the engine is as full as without a gateway.

    python bench/engine_queue.py --profiles kv-bound slot-bound

Sends one trace to a real tritonserver with an emulated engine, directly and through the gateway with `fcfs`
(the same order, so the same requests compete for room), and prints from the engine's own report:

- iterations that a request waits inside the engine, for those that reached it while others waited in front;
- requests in the running batch, averaged over the time in which others waited (directly: in the engine), and
  the share of KV blocks in use then.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sagesched_emulator.demo.errors import DemoError
from sagesched_emulator.demo.options import Options
from sagesched_emulator.demo.story import run_demo
from sagesched_emulator.demo.trial import DIRECT, Trial
from sagesched_emulator.figures import ratio
from sagesched_emulator.profiles import PROFILES, profile


@dataclass(frozen=True, slots=True, kw_only=True)
class Occupancy:
    """The engine while requests waited in front of it.

    Attributes:
        backlog_s: engine seconds in which some waited.
        wait_p50: iterations that requests waited inside the engine, median.
        wait_p99: 99th percentile.
        batch: requests in the running batch, mean.
        slots: share of all slots.
        kv: share of KV blocks in use, mean.
    """

    backlog_s: float
    wait_p50: float
    wait_p99: float
    batch: float
    slots: float
    kv: float


def occupancy(trial: Trial, max_batch_size: int) -> Occupancy:
    """What the engine's report says of the backlog."""
    assert trial.engine is not None
    report = trial.engine.report
    scale, origin = report.time_scale, report.started_unix_s
    if trial.name == DIRECT:
        waiting = [(sample.t, float(sample.queued)) for sample in report.samples]
    else:
        waiting = [((at - origin) / scale, queued) for at, queued in trial.gateway_queue]
    instants = np.array([at for at, _ in waiting])
    queued = np.array([num for _, num in waiting])

    def others_waited(at: float) -> bool:
        """At the samples before and after: one may be old, and the queue may have emptied since."""
        after = int(np.searchsorted(instants, at))
        return 0 < after < instants.size and queued[after - 1] > 0 and queued[after] > 0

    under_backlog = [sample for sample in report.samples if others_waited(sample.t)]
    waits = [
        request.queue_iterations
        for request in report.requests
        if request.queue_iterations is not None and others_waited(request.submitted_at)
    ]
    if not under_backlog or not waits:
        raise DemoError(f"{trial.name}: nothing ever waited; send more or raise --rho")
    batch = float(np.mean([sample.scheduled for sample in under_backlog]))
    blocks = [s.used_blocks / (s.used_blocks + s.free_blocks) for s in under_backlog]
    return Occupancy(
        backlog_s=0.1 * len(under_backlog),
        wait_p50=float(np.quantile(waits, 0.5)),
        wait_p99=float(np.quantile(waits, 0.99)),
        batch=batch,
        slots=batch / max_batch_size,
        kv=float(np.mean(blocks)),
    )


def main(argv: Sequence[str] | None = None) -> int:
    arguments = _parser().parse_args(argv)
    results: dict[str, dict[str, Occupancy]] = {}
    try:
        for name in arguments.profiles:
            options = Options(
                num_requests=arguments.requests,
                rho=arguments.rho,
                num_warm=0,
                seed=arguments.seed,
                profile=name,
                time_scale=arguments.time_scale,
                policies=tuple(arguments.policies),
                out=arguments.out / name,
            )
            trials = run_demo(options).measured.trials
            results[name] = {trial.name: occupancy(trial, profile(name).max_batch_size) for trial in trials}
    except DemoError as error:
        print(f"engine_queue: {error}", file=sys.stderr)
        return 1
    for name, runs in results.items():
        _print(name, runs)
    return 0


def _print(profile_name: str, runs: dict[str, Occupancy]) -> None:
    print(f"\n{profile_name}: while requests waited in front of the engine (directly: inside it)")
    print(
        f"{'':<15}{'backlog s':>10}{'engine wait p50':>17}{'p99 iterations':>16}"
        f"{'batch':>8}{'slots':>8}{'KV':>7}{'batch to direct':>17}"
    )
    for name, seen in runs.items():
        to_direct = ratio(seen.batch, runs[DIRECT].batch)
        print(
            f"{name:<15}{seen.backlog_s:>10.0f}{seen.wait_p50:>17.1f}{seen.wait_p99:>16.1f}"
            f"{seen.batch:>8.1f}{seen.slots:>8.1%}{seen.kv:>7.1%}{to_direct:>17.3f}"
        )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--profiles", nargs="+", choices=sorted(PROFILES), default=["kv-bound", "slot-bound"])
    parser.add_argument(
        "--policies", nargs="+", default=["fcfs"], help="beside direct (default: %(default)s)"
    )
    parser.add_argument("--requests", type=int, default=450, help="default: %(default)s")
    parser.add_argument("--rho", type=float, default=1.4, help="default: %(default)s")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--time-scale", type=float, help="default: one that this machine keeps up with")
    parser.add_argument("--out", type=Path, default=Path("build/bench/engine_queue"))
    return parser


if __name__ == "__main__":
    sys.exit(main())

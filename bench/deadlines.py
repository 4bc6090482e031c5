"""How far predicted waits and probabilities can be believed, in virtual time.

    python bench/deadlines.py
    python bench/deadlines.py --policy fcfs --rho 0.9 1.1
    python bench/deadlines.py --unseen --requests 800

What is known of a length are nine other answers to the same prompt; with `--unseen` it is what the gateway's
own predictor, which has seen another half of the prompts and goes on learning, says of prompts it never saw.

Three questions, each over loads and policies:

- *ETA*: which share of waits stayed within the p90 that was predicted when the request joined the queue
  (wanted: 0.80 to 0.97).
- *Deadlines*: requests come with deadlines of 5 to 100 s and are refused at the door below P = 0.9; which
  share of those accepted was done in time (wanted: 0.85 or more), and how that compares to no door at all.
- *Retry-After*: 20 s of predicted backlog are allowed; clients that are refused come again once, when told
  to. Which share was then accepted (wanted: 0.8 or more).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np
from pressure_trace import add_arguments, heading, records_of
from unseen import is_unseen

from sagesched_emulator.dataset import DatasetError, Record
from sagesched_emulator.profiles import profile
from sagesched_emulator.trace import Trace, draw_trace
from sagesched_gateway.scheduling.settings import (
    DeadlineSettings,
    OverloadSettings,
    PolicySettings,
    PressureSettings,
)
from sagesched_replay.knowledge import Knowledge, OtherAnswers, learned, open_artifact
from sagesched_replay.replay import ReplaySettings, replay
from sagesched_replay.run import ReplayRun, Served

DEADLINES_S = (5.0, 100.0)
REFUSE_BELOW = 0.9
BACKLOG_S = 20.0


def main(argv: Sequence[str] | None = None) -> int:
    arguments = _parser().parse_args(argv)
    try:
        records = records_of(arguments)
    except (DatasetError, OSError) as error:
        print(f"deadlines: {error}", file=sys.stderr)
        return 2
    knowledge: Callable[[int], Knowledge] = lambda _: OtherAnswers()  # noqa: E731
    if arguments.unseen:
        records, knowledge = _unseen(records)
    print(heading(arguments, records))
    print(
        f"{'policy':14} {'rho':>5} {'waited':>7} {'ETA p90 holds':>14} | {'accepted':>9} {'in time':>8} "
        f"{'without a door':>15} | {'refused':>8} {'taken later':>12}"
    )
    for policy in arguments.policy:
        for rho in arguments.rho:
            print(_line(arguments, records, knowledge, policy, rho), flush=True)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_arguments(parser, requests=1500)
    parser.add_argument("--policy", nargs="+", default=["fcfs", "gittins-boost", "sagesched"])
    parser.add_argument("--rho", nargs="+", type=float, default=[0.9, 1.05, 1.3])
    parser.add_argument("--unseen", action="store_true", help="the gateway's own predictor, unseen prompts")
    return parser


def _unseen(records: Sequence[Record]) -> tuple[list[Record], Callable[[int], Knowledge]]:
    """Prompts that nothing was trained on; and, by seed, a predictor that has observed the others."""
    unseen = [record for record in records if is_unseen(record)]
    observed = [record for record in records if not is_unseen(record)]
    artifact = open_artifact(None)
    artifact.embeddings.prepare([record.prompt for record in records], lambda _: None)
    return unseen, lambda seed: learned(artifact, observed, seed=seed)


def _line(
    arguments: argparse.Namespace,
    records: Sequence[Record],
    knowledge: Callable[[int], Knowledge],
    policy: str,
    rho: float,
) -> str:
    plain: list[Served] = []
    door: list[Served] = []
    limited: list[Served] = []
    late: list[Served] = []
    for seed in range(arguments.seeds):
        trace = _with_deadlines(
            draw_trace(
                records,
                profile=profile(arguments.engine),
                rho=rho,
                num_requests=arguments.requests,
                seed=seed,
                repeats=not arguments.unseen,
            )
        )
        without = _undated(trace)
        plain += _run(
            arguments, knowledge(seed), without, policy, PressureSettings(measure_waits=True)
        ).served
        never = DeadlineSettings(refuse_below=0.0, drop_below=0.0)
        late += _run(
            arguments, knowledge(seed), trace, policy, PressureSettings(deadlines=never, measure_waits=True)
        ).served
        judged = DeadlineSettings(refuse_below=REFUSE_BELOW)
        door += _run(arguments, knowledge(seed), trace, policy, PressureSettings(deadlines=judged)).served
        limit = OverloadSettings(max_backlog_s=BACKLOG_S)
        limited += _run(arguments, knowledge(seed), without, policy, PressureSettings(overload=limit)).served
    waits = [served for served in plain if served.eta_s is not None]
    holds = np.mean([_waited_s(served) <= (served.eta_s or 0.0) for served in waits]) if waits else np.nan
    accepted = [served for served in door if not _refused_for(served, "deadline-unreachable")]
    asked_again = [served for served in limited if served.num_refusals > 0]
    taken = [served for served in asked_again if served.num_refusals == 1 and served.failure is None]
    return (
        f"{policy:14} {rho:5.2f} {len(waits):7} {holds:14.1%} | {len(accepted) / len(door):9.1%} "
        f"{_in_time(accepted):8.1%} {_in_time(late):15.1%} | {len(asked_again) / len(limited):8.1%} "
        f"{len(taken) / len(asked_again) if asked_again else np.nan:12.1%}"
    )


def _run(
    arguments: argparse.Namespace, knowledge: Knowledge, trace: Trace, policy: str, pressure: PressureSettings
) -> ReplayRun:
    settings = ReplaySettings(
        policy=PolicySettings(name=policy), pressure=pressure, eta_quantile=0.9, retries=1
    )
    return replay(trace, profile(arguments.engine), settings, knowledge)


def _with_deadlines(trace: Trace) -> Trace:
    """Deadlines spread evenly on a logarithmic scale, drawn by the trace's own seed."""
    draw = np.random.default_rng([trace.seed, 3])
    low, high = np.log(DEADLINES_S)
    deadlines = np.exp(draw.uniform(low, high, len(trace.requests)))
    dated = zip(trace.requests, deadlines, strict=True)
    return replace(trace, requests=tuple(replace(r, deadline_s=float(d)) for r, d in dated))


def _undated(trace: Trace) -> Trace:
    return replace(trace, requests=tuple(replace(r, deadline_s=None) for r in trace.requests))


def _waited_s(served: Served) -> float:
    """From when all was known of it to its start; infinite where it never started."""
    if served.started_at is None or served.known_at is None:
        return float("inf")
    return served.started_at - served.known_at


def _refused_for(served: Served, reason: str) -> bool:
    return served.refusal is not None and served.refusal.reason == reason


def _in_time(requests: Sequence[Served]) -> float:
    return float(np.mean(list(_outcomes(requests)))) if requests else float("nan")


def _outcomes(requests: Sequence[Served]) -> Iterator[bool]:
    for served in requests:
        deadline_s = served.request.deadline_s
        assert deadline_s is not None
        yield served.last_at is not None and served.last_at - served.request.arrival_s <= deadline_s


if __name__ == "__main__":
    sys.exit(main())

"""What a second gateway process in a pod would cost: one queue before an engine, or two with half of it each.

    python bench/two_workers.py --requests 1500 --seeds 0-4

Two processes on one port are two queues: the kernel deals connections to them, and neither knows what the
other has or may start, so that each must keep to half of the engine. Modelled as the same trace, dealt at
random to two engines of half the places whose iterations take as long as the whole one's. Ratios of mean
and p99 TTLT, two queues to one, within a seed; the interval is over seeds.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from replay_frontier import NUM_GENERATED, interval

from sagesched_emulator.profiles import EngineProfile, profile
from sagesched_emulator.trace import Trace, draw_trace
from sagesched_emulator.workload import generate
from sagesched_gateway.scheduling.settings import PolicySettings
from sagesched_replay.knowledge import OtherAnswers
from sagesched_replay.replay import ReplaySettings, replay

POLICIES = ("fcfs", "sagesched", "gittins-boost")
RHOS = (0.7, 0.9, 1.1)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--requests", type=int, default=1500, help="per seed (default: %(default)s)")
    parser.add_argument("--seeds", default="0-4", help="A-B (default: %(default)s)")
    options = parser.parse_args(argv)
    first, _, last = options.seeds.partition("-")
    seeds = range(int(first), int(last or first) + 1)
    whole = profile("slot-bound")
    print(f"{'rho':>4} {'policy':14} {'mean TTLT, two to one':>28} {'p99 TTLT, two to one':>28}")
    for rho in RHOS:
        traces = [
            draw_trace(
                generate(NUM_GENERATED, 0), profile=whole, rho=rho, num_requests=options.requests, seed=seed
            )
            for seed in seeds
        ]
        for policy in POLICIES:
            means, tails = [], []
            for seed, trace in zip(seeds, traces, strict=True):
                one = times(trace, whole, policy)
                halves = dealt(trace, seed)
                two = np.concatenate([times(half, half_of(whole), policy) for half in halves])
                means.append(float(two.mean() / one.mean()))
                tails.append(float(np.quantile(two, 0.99) / np.quantile(one, 0.99)))
            print(f"{rho:4} {policy:14} {interval(means):>28} {interval(tails):>28}", flush=True)
    return 0


def times(trace: Trace, engine: EngineProfile, policy: str) -> np.ndarray:
    """TTLT of each request, seconds."""
    settings = ReplaySettings(policy=PolicySettings(name=policy))
    run = replay(trace, engine, settings, OtherAnswers())
    ended = [(served.last_at, served.request.arrival_s) for served in run.served]
    return np.array([last_at - arrival_s for last_at, arrival_s in ended if last_at is not None])


def dealt(trace: Trace, seed: int) -> list[Trace]:
    """The same requests, each to one of two."""
    to_first = np.random.default_rng(seed).random(len(trace.requests)) < 0.5
    return [
        replace(
            trace,
            requests=tuple(request for request, mine in zip(trace.requests, side, strict=True) if mine),
        )
        for side in (to_first, ~to_first)
    ]


def half_of(engine: EngineProfile) -> EngineProfile:
    """Half of the places; the other half is as full, so that iterations take as long."""
    step = engine.step_time
    return replace(
        engine,
        max_batch_size=engine.max_batch_size // 2,
        max_num_tokens=engine.max_num_tokens // 2,
        kv_blocks=engine.kv_blocks // 2,
        step_time=replace(
            step,
            per_sequence_s=2 * step.per_sequence_s,
            per_cached_token_s=2 * step.per_cached_token_s,
            prefill_s_per_token=2 * step.prefill_s_per_token,
        ),
    )


if __name__ == "__main__":
    sys.exit(main())

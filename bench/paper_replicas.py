"""What do queues per pod cost against one global queue, by balancer and number of replicas?

    python bench/paper_replicas.py --replicas 1 4 16 64 --seeds 0-9

CASTILLO's lengths, true distributions, Poisson arrivals at the same load per engine. Ratios are to the global
queue with the same policy, geometric mean over seeds with Student's 95 % interval; `~` marks noise.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from castillo import DEFAULT_MODEL, castillo_records, default_data_folder, read_castillo

from sagesched_emulator.dataset import Record
from sagesched_emulator.profiles import PROFILES, profile
from sagesched_emulator.trace import draw_trace
from sagesched_gateway.scheduling.settings import PolicySettings
from sagesched_replay.fleet import Balancer
from sagesched_replay.inside.preemption import Preemption
from sagesched_replay.knowledge import OtherAnswers
from sagesched_replay.paired import over_seeds
from sagesched_replay.report import RunFigures
from sagesched_replay.scaling import trace_digest
from sagesched_replay.sheet import ratio_text
from sagesched_replay.study import Gateway, Variant, run_variant

GATEWAY = Gateway(stream_interval=16, kv_headroom_iterations=None, preemption=Preemption())
COMPARED = (Balancer.ROUND_ROBIN, Balancer.LEAST_QUEUE, Balancer.LEAST_PREDICTED_BACKLOG)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=default_data_folder())
    parser.add_argument("--engine", choices=PROFILES, default="kv-bound")
    parser.add_argument("--rho", type=float, default=0.95)
    parser.add_argument("--per-replica", type=int, default=300, help="requests per engine")
    parser.add_argument("--replicas", type=int, nargs="+", default=[1, 4, 16, 64])
    parser.add_argument("--policies", nargs="+", default=["fcfs", "gittins-boost"])
    parser.add_argument("--seeds", default="0-9")
    arguments = parser.parse_args()
    first, _, last = arguments.seeds.partition("-")
    seeds = range(int(first), int(last or first) + 1)
    rows = read_castillo(arguments.data, DEFAULT_MODEL)
    records = castillo_records(rows, DEFAULT_MODEL, seed=0)
    print(
        f"{arguments.per_replica} requests per engine, CASTILLO {DEFAULT_MODEL}, {arguments.engine}, "
        f"rho {arguments.rho} per engine, seeds {arguments.seeds}, warm-up a tenth"
    )
    for replicas in arguments.replicas:
        for name in arguments.policies:
            compare(arguments, records, replicas, name, seeds)
    return 0


def compare(
    arguments: argparse.Namespace, records: list[Record], replicas: int, name: str, seeds: range
) -> None:
    """One block of the table."""
    figures: dict[Balancer, list[RunFigures]] = {balancer: [] for balancer in Balancer}
    digest = ""
    for seed in seeds:
        count = arguments.per_replica * replicas
        engine = profile(arguments.engine)
        trace = draw_trace(
            records, profile=engine, rho=arguments.rho * replicas, num_requests=count, seed=seed, repeats=True
        )
        digest = digest or trace_digest(trace)
        for balancer in Balancer:
            variant = Variant(policy=PolicySettings(name=name), replicas=replicas, balancer=balancer)
            outcome = run_variant(variant, trace, engine, GATEWAY, OtherAnswers, count // 10, lambda: None)
            figures[balancer].append(outcome.figures)
    base = figures[Balancer.GLOBAL]
    mean = sum(one.mean_ttlt_s for one in base) / len(base)
    print(f"{replicas} x {name}: global mean TTLT {mean:.2f} s (first trace {digest})")
    for balancer in COMPARED:
        own = figures[balancer]
        means = over_seeds([one.mean_ttlt_s for one in own], [one.mean_ttlt_s for one in base])
        tails = over_seeds([one.p99_ttlt_s for one in own], [one.p99_ttlt_s for one in base])
        mean_text, tail_text = (ratio_text(one, is_base=False) for one in (means, tails))
        print(f"  {balancer:24} mean {mean_text:24} p99 {tail_text}")


if __name__ == "__main__":
    raise SystemExit(main())

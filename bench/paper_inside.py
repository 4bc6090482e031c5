"""How much of a policy's gain is left when it orders at a gateway instead of inside the engine.

    python bench/paper_inside.py

The same policy twice on the same traces: at the gateway, where nothing that runs is put aside but by the
engine when memory runs out, and inside the engine, where its key is refreshed each 200 tokens and a running
request makes room for a better one. What is put aside is prefilled again in both. The base is `fcfs@engine`:
the engine with the same headroom, and neither hop nor wait for a prediction. The *gain* is 1 - mean TTLT /
base; *kept* is the gateway's gain over the engine's. Nobody has published this comparison.
"""

from __future__ import annotations

import argparse

import numpy as np
from paper import Runs, add_arguments, castillo, contender, digest, interval, machine, poisson, say, seeds_of

from sagesched_emulator.profiles import profile
from sagesched_replay.inside.preemption import Preemption

POLICIES = ("ssjf", "sagesched", "gittins-boost")
LOADS = (0.9, 1.05, 1.2)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_arguments(parser, requests=2000)
    parser.add_argument("--engine", default="kv-bound")
    options = parser.parse_args()
    records, runs, engine = castillo(), Runs(options.kept), profile(options.engine)
    lines = [
        f"{'load':>5} {'policy':14} {'gain at the gateway':>24} {'gain inside':>24} {'kept':>24} {'swap':>6}"
    ]
    kept_by_load: dict[float, list[float]] = {}
    for rho in LOADS:
        base: list[float] = []
        at_gateway, inside, swap = ({name: list[float]() for name in POLICIES} for _ in range(3))
        for seed in seeds_of(options.seeds):
            name = f"castillo {digest(records)} Poisson {rho:g} n{options.requests} s{seed}"
            trace = poisson(records, engine, rho, options.requests, seed)
            base.append(runs.of(trace, name, engine, contender("fcfs@engine")).mean)
            for policy in POLICIES:
                there = contender(f"{policy}@engine")
                swapping = contender(f"{policy}@engine", preemption=Preemption())
                at_gateway[policy].append(1 - runs.of(trace, name, engine, contender(policy)).mean / base[-1])
                inside[policy].append(1 - runs.of(trace, name, engine, there).mean / base[-1])
                swap[policy].append(1 - runs.of(trace, name, engine, swapping).mean / base[-1])
        for policy in POLICIES:
            kept = [a / b for a, b in zip(at_gateway[policy], inside[policy], strict=True)]
            kept_by_load.setdefault(rho, []).append(float(np.mean(kept)))
            lines.append(
                f"{rho:5.2f} {policy:14} {interval(at_gateway[policy])!s:>24} "
                f"{interval(inside[policy])!s:>24} "
                f"{interval(kept)!s:>24} {np.mean(swap[policy]):6.3f}"
            )
    say(
        "a policy keeps most of its gain at the gateway (no published figure)",
        f"castillo {digest(records)}, {options.engine}, {options.requests} requests, Poisson, seeds "
        f"{options.seeds}, "
        f"{machine()}; the last column is the gain inside when what is put aside is swapped to host memory",
        "kept by load: "
        + "; ".join(f"{rho:g}: {min(kept):.0%} to {max(kept):.0%}" for rho, kept in kept_by_load.items()),
        lines,
    )


if __name__ == "__main__":
    main()

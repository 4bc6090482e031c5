"""How much of a policy's gain is left when it orders at a gateway instead of inside the engine.

    python bench/paper_inside.py

The same policy on the same traces: at the gateway, where nothing that runs is put aside but by the engine
when memory runs out, and inside the engine, where its key is refreshed each 200 tokens and a running request
makes room for a better one; what is put aside is prefilled again (*recompute*, as the engine behind the
gateway does) or goes to host memory (*swap*, at what PCIe takes, in series).

The *gain* is 1 - mean TTLT / base; the base is `fcfs@engine` with the same way of putting aside: the engine
with the gateway's headroom, and neither hop nor wait for a prediction. Nobody has published this comparison.
"""

from __future__ import annotations

import argparse

import numpy as np
from paper import (
    AS_THE_ENGINE,
    Runs,
    add_arguments,
    castillo,
    contender,
    digest,
    interval,
    machine,
    poisson,
    say,
    seeds_of,
)

from sagesched_emulator.profiles import profile
from sagesched_replay.inside.preemption import Preemption

POLICIES = ("ssjf", "sagesched", "gittins-boost")
SWAP = Preemption()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_arguments(parser, requests=2000)
    parser.add_argument("--engine", default="kv-bound")
    parser.add_argument("--loads", type=float, nargs="+", default=[0.9, 1.05, 1.2])
    options = parser.parse_args()
    records, runs, engine = castillo(), Runs(options.kept), profile(options.engine)
    lines = [f"{'load':>5} {'policy':14} {'gateway':>24} {'inside, recompute':>24} {'inside, swap':>24}"]
    kept = []
    for rho in options.loads:
        gains: dict[tuple[str, str], list[float]] = {}
        for seed in seeds_of(options.seeds):
            name = f"castillo {digest(records)} Poisson {rho:g} n{options.requests} s{seed}"
            trace = poisson(records, engine, rho, options.requests, seed)
            base, swap_base = (
                runs.of(trace, name, engine, contender("fcfs@engine", preemption=way)).mean
                for way in (AS_THE_ENGINE, SWAP)
            )
            for policy in POLICIES:
                inside = f"{policy}@engine"
                for where, who, over in (
                    ("gateway", contender(policy), base),
                    ("recompute", contender(inside), base),
                    ("swap", contender(inside, preemption=SWAP), swap_base),
                ):
                    gain = 1 - runs.of(trace, name, engine, who).mean / over
                    gains.setdefault((policy, where), []).append(gain)
        for policy in POLICIES:
            cells = [interval(gains[policy, where]) for where in ("gateway", "recompute", "swap")]
            lines.append(f"{rho:5.2f} {policy:14} " + " ".join(f"{cell!s:>24}" for cell in cells))
            share = np.mean(gains[policy, "gateway"]) / np.mean(gains[policy, "swap"])
            kept.append(f"{policy} at {rho:g}: {share:.0%}")
    say(
        "a policy keeps most of its gain at the gateway (no published figure)",
        f"castillo {digest(records)}, {options.engine}, {options.requests} requests, Poisson, seeds "
        f"{options.seeds}, {machine()}; 1 - mean TTLT / fcfs inside the same kind of engine (95 %)",
        "the gateway's gain over that inside with swapping: " + "; ".join(kept),
        lines,
    )


if __name__ == "__main__":
    main()

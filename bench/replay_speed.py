"""How long does replay take? CPU seconds of one core for a trace of many requests on one engine, per policy.

    python bench/replay_speed.py --requests 100000

Generated lengths (lognormal, ten samples per prompt), `kv-bound`, true distributions: prompts are not
embedded, since that is the predictor's time and not replay's. The wall clock on an idle machine is the same.
"""

from __future__ import annotations

import argparse
import time

import numpy as np

from sagesched_emulator.dataset import Record
from sagesched_emulator.profiles import PROFILES, profile
from sagesched_emulator.trace import draw_trace
from sagesched_gateway.scheduling.settings import PolicySettings
from sagesched_replay.knowledge import OtherAnswers
from sagesched_replay.replay import replay
from sagesched_replay.run import ReplaySettings
from sagesched_replay.scaling import trace_digest
from sagesched_replay.told import told

NUM_PROMPTS = 2000


def records(seed: int) -> list[Record]:
    """Prompts whose answers differ in length, a median of some 270 tokens."""
    rng = np.random.default_rng(seed)
    medians = rng.lognormal(5.6, 0.8, NUM_PROMPTS)
    prompts = np.clip(rng.lognormal(5.0, 1.0, NUM_PROMPTS), 1, 4000)
    lengths = np.clip(rng.lognormal(np.log(medians)[:, None], 0.3, (NUM_PROMPTS, 10)), 1, 2000)
    return [
        Record(prompt=f"p{place}", prompt_tokens=int(prompt), output_samples=tuple(int(n) for n in row))
        for place, (prompt, row) in enumerate(zip(prompts, lengths, strict=True))
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--requests", type=int, default=100_000)
    parser.add_argument("--engine", choices=PROFILES, default="kv-bound")
    parser.add_argument("--rho", type=float, default=0.9)
    parser.add_argument("--policies", nargs="+", default=["fcfs", "ssjf", "sagesched", "gittins-boost"])
    arguments = parser.parse_args()
    engine = profile(arguments.engine)
    trace = draw_trace(
        records(0), profile=engine, rho=arguments.rho, num_requests=arguments.requests, seed=0, repeats=True
    )
    print(
        f"{arguments.requests} requests (trace {trace_digest(trace)}, seed 0) on {engine.name}, "
        f"rho {trace.rho:.2f}, one core"
    )
    for name in arguments.policies:
        settings = ReplaySettings(policy=PolicySettings(name=name))
        began = time.process_time()
        run = replay(trace, engine, settings, told(name, OtherAnswers))
        seconds = time.process_time() - began
        done = sum(served.last_at is not None for served in run.served)
        print(f"{name:14} {seconds:6.1f} s, {done} answers over {run.ended_at / 3600:.1f} h of virtual time")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

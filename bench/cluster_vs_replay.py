"""One trace, in a cluster and in replay: FCFS and the default policy on the emulated 8B engine.

    make cluster-up; python bench/cluster_vs_replay.py; make cluster-down

In the cluster: a pool as the operator makes it, its gateway and a real Triton in containers, tritonclient
through the Service. In replay: the same scheduler and the same engine model in virtual time. Both get the
same trace and the shipped predictor, cold, and reckon prompt tokens from characters. Each policy has a new
pool. The gateway keeps `--in-flight` requests in the engine, so that two cores can stream what it gives at
its own speed. Prints mean and p99 of TTLT of both and their ratio; exit status 1 where a ratio is off by more
than `--tolerance`, or a request was lost or wrong.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from statistics import fmean

import numpy as np
from lived_and_replayed import Estimating, Ttlt, compared

from bed.installation import ensure_installed
from bed.load import Account, Load, Request
from bed.pool import emulated
from bed.provider import ready_cluster
from bed.told import told_pool
from bed.traffic import Traffic
from cluster.kubectl import Cluster
from sagesched_emulator.profiles import EngineProfile, profile
from sagesched_emulator.trace import Trace, draw_trace
from sagesched_emulator.workload import generate
from sagesched_gateway.scheduling.settings import PolicySettings
from sagesched_replay.knowledge import OpenArtifact, learned, open_artifact
from sagesched_replay.replay import ReplaySettings, replay
from sagesched_replay.report import run_figures

_POLICIES = ("fcfs", "gittins-boost")
_END_TIMEOUT_S = 400.0


def drawn(narrow: EngineProfile, arguments: argparse.Namespace) -> Trace:
    """The trace: generated prompts with capped answers, each text once."""
    records = generate(4 * arguments.requests, arguments.seed)
    capped = {each.prompt: replace(each, max_tokens=arguments.max_tokens) for each in records}
    return draw_trace(
        list(capped.values()),
        profile=narrow,
        rho=arguments.rho,
        num_requests=arguments.requests,
        seed=arguments.seed,
    )


def in_cluster(cluster: Cluster, policy: str, trace: Trace, in_flight: int) -> Ttlt:
    """Live through the trace with a new pool."""
    requests = tuple(
        Request(prompt=one.prompt, max_tokens=one.max_tokens, tokens=one.output_tokens, at_s=one.arrival_s)
        for one in trace.requests
    )
    spec = emulated(scheduling={"policy": policy})
    spec["gateway"] |= {"inFlight": in_flight, "connectionAgeSeconds": 300}
    with told_pool(cluster, f"versus-replay-{policy}", spec, requests) as pool:
        load = Load(target=pool.address(), trace=requests, name=policy)
        with Traffic(cluster, load) as traffic:
            account = traffic.wait(_END_TIMEOUT_S)
    print(f"{policy} in the cluster: {account.in_words()}", flush=True)
    if account.problems or account.errors:
        raise SystemExit("cluster_vs_replay: not every request was answered")
    return _figures(account)


def _figures(account: Account) -> Ttlt:
    ttlt_s = [each.last - each.due for each in account.timings if each.last is not None]
    return fmean(ttlt_s), float(np.quantile(ttlt_s, 0.99))


def in_replay(
    artifact: OpenArtifact, policy: str, trace: Trace, whole: EngineProfile, in_flight: int
) -> Ttlt:
    """The same in virtual time."""
    settings = ReplaySettings(policy=PolicySettings(name=policy), stream_interval=1)
    knowledge = learned(artifact, [], seed=trace.seed)
    capacity = replace(whole.capacity(), slots=in_flight)
    front = partial(Estimating, capacity=capacity, settings=settings, knowledge=knowledge)
    figures = run_figures(replay(trace, whole, settings, knowledge, make_front=front))
    return figures.mean_ttlt_s, figures.p99_ttlt_s


def main(argv: Sequence[str] | None = None) -> int:
    arguments = _parser().parse_args(argv)
    whole = profile("h100-8b")
    trace = drawn(replace(whole, max_batch_size=arguments.in_flight), arguments)
    artifact = open_artifact(None)
    print(f"{len(trace.requests)} requests in {trace.span_s:.0f} s, load {trace.rho:.2f}", flush=True)
    virtual = {name: in_replay(artifact, name, trace, whole, arguments.in_flight) for name in _POLICIES}
    lived = {}
    if not arguments.replay_only:
        with ready_cluster() as cluster:
            ensure_installed(cluster)
            for name in _POLICIES:
                lived[name] = in_cluster(cluster, name, trace, arguments.in_flight)
    runs = {name: (lived.get(name, figures), figures) for name, figures in virtual.items()}
    return compared("TTLT in s", runs, arguments.tolerance)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--requests", type=int, default=160, help="default: %(default)s")
    parser.add_argument("--rho", type=float, default=1.3, help="load; default: %(default)s")
    parser.add_argument("--max-tokens", type=int, default=600, help="cap on answers; default: %(default)s")
    parser.add_argument("--in-flight", type=int, default=4, help="default: %(default)s")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--tolerance", type=float, default=0.10, help="default: %(default)s")
    parser.add_argument("--replay-only", action="store_true", help="without a cluster, to see the trace")
    return parser


if __name__ == "__main__":
    sys.exit(main())

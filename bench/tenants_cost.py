"""What fair shares cost the core: off, off while callers name tenants, and on.

    python bench/tenants_cost.py

One request is submitted, predicted, started and finished, as in `core_speed.py`, by four cores in turns:
*without* is the core with every line about tenants deleted, and stands for a build that has no such feature;
*off* is the product as it comes; *named* the same while callers name eight tenants; *on* gives these their
shares. CPU time per request, and its ratio to that of *without* in the same turn: median and quartiles over
turns. A second core *without* shows the noise.
"""

from __future__ import annotations

import argparse
import platform
from collections.abc import Sequence

import numpy as np
from core_speed import CHUNK, Bench

from sagesched_gateway.scheduling.books import Books
from sagesched_gateway.scheduling.commands import Start
from sagesched_gateway.scheduling.job import Job, JobState
from sagesched_gateway.scheduling.policies.base import Moment
from sagesched_gateway.scheduling.queue import KeyedQueue, Work
from sagesched_gateway.scheduling.scheduler import NO_PRESSURE
from sagesched_gateway.scheduling.settings import PressureSettings, TenantSettings

NUM_TENANTS = 8
WARM_TURNS = 3


class BooksWithout(Books):
    """`Books` as it would be if nobody had ever thought of tenants."""

    queue: KeyedQueue

    def start(self, job: Job, now: float) -> None:
        """See `Books`."""
        job.move_to(JobState.STARTED)
        job.blocked_since = None
        self.ledger.reserve(job.job_id, job.need, now)
        self.pressure.started(job, now)
        self.commands.append(Start(job.job_id))

    def leave_engine(self, job: Job, output_tokens: int | None) -> None:
        """See `Books`."""
        self.ledger.release(job.job_id)

    def look_again(self, now: float) -> None:
        """See `Books`."""
        capacity = self.ledger.capacity
        oldest = self.costing.facts(self.jobs[self.queue.oldest()]) if self.policy.needs_oldest else None
        moment = Moment(
            now,
            capacity.iteration_s,
            capacity.prefill_s_per_token,
            self.backlog.steps,
            oldest,
            len(self.queue),
            capacity.slots,
        )
        view = self.policy.view(moment)
        if view != self.queue.view:
            self.queue.look_through(view)
            self.num_rekeys += 1

    def _push(self, job: Job) -> None:
        row, job.mean_steps, job.variance_steps, job.bound = self.costing.cost(job)
        self.queue.push(job.job_id, job.arrival_at, row, Work(job.mean_steps, job.variance_steps))
        self.backlog.add(job.mean_steps)


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--policy", nargs="+", default=["fcfs", "gittins-boost"])
    parser.add_argument("--queued", type=int, default=1000, help="default: %(default)s")
    parser.add_argument("--turns", type=int, default=101, help=f"of {CHUNK} requests (default: %(default)s)")
    arguments = parser.parse_args(argv)
    print(f"{platform.machine()}, Python {platform.python_version()}, {arguments.queued} queued")
    print(f"{'policy':14} {'core':9} {'us/request':>11} {'to without':>11} {'quartiles':>14}")
    for policy in arguments.policy:
        _compare(policy, arguments.queued, arguments.turns)


def _compare(policy: str, num_queued: int, num_turns: int) -> None:
    shares = PressureSettings(tenants=TenantSettings())
    cores = {
        "without": _without(Bench(policy, num_queued, seed=0)),
        "without 2": _without(Bench(policy, num_queued, seed=0)),
        "off": Bench(policy, num_queued, seed=0),
        "named": Bench(policy, num_queued, 0, NO_PRESSURE, NUM_TENANTS),
        "on": Bench(policy, num_queued, 0, shares, NUM_TENANTS),
    }
    took: dict[str, list[float]] = {name: [] for name in cores}
    names = list(cores)
    for turn in range(WARM_TURNS + num_turns):
        first = turn % len(names)
        for name in names[first:] + names[:first]:
            took[name].append(cores[name].chunk(swing=bool(turn % 2)))
    base = np.array(took["without"][WARM_TURNS:])
    for name in names:
        own = np.array(took[name][WARM_TURNS:])
        low, middle, high = np.quantile(own / base, (0.25, 0.5, 0.75))
        print(
            f"{policy:14} {name:9} {1e6 * np.median(own) / CHUNK:11.1f} {middle:11.3f} "
            f"{f'{low:.3f}-{high:.3f}':>14}",
            flush=True,
        )


def _without(bench: Bench) -> Bench:
    bench.scheduler.books.__class__ = BooksWithout
    return bench


if __name__ == "__main__":
    main()

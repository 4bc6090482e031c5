"""What the scheduling core costs per request, with short and very long queues.

    python bench/core_speed.py
    python bench/core_speed.py --policy gittins-boost --queued 10000

One request is submitted without a prediction, predicted (64 atoms), started when another finishes, and
finishes itself. The queue is kept at its length while requests pass through it. The engine's step time swings
by 15 % every `CHUNK` requests, so that all keys of gittins-boost move at least that often. The figure is the
median over chunks of the CPU time per request, of one thread on this machine. The last column is the cost of
one token's progress while the head of that queue is blocked on KV blocks.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from sagesched_gateway.scheduling.capacity import EngineCapacity, KvPolicy
from sagesched_gateway.scheduling.commands import Start
from sagesched_gateway.scheduling.events import (
    CapacityChanged,
    Event,
    Finished,
    Predicted,
    Progressed,
    Submitted,
)
from sagesched_gateway.scheduling.policies.registry import POLICIES
from sagesched_gateway.scheduling.scheduler import NO_PRESSURE, Scheduler
from sagesched_gateway.scheduling.settings import PolicySettings, PressureSettings
from sagesched_predictor.distribution import MAX_ATOMS, LengthDistribution

CHUNK = 100
MAX_TOKENS = 2048
NUM_DISTRIBUTIONS = 256
ENGINE = EngineCapacity(
    slots=64,
    kv_blocks=200_000,
    block_tokens=64,
    max_num_tokens=10**6,
    kv_policy=KvPolicy.MAX_UTILIZATION,
    iteration_s=0.02,
)
SWING = 1.15
GAP_S = 0.01


@dataclass(frozen=True, slots=True)
class Cost:
    """Seconds per request, seconds per token's progress, re-keys per 1,000 requests."""

    request_s: float
    progress_s: float
    rekeys_per_1000: float


class Traffic:
    """Requests with realistic lengths, drawn once by a seed."""

    def __init__(self, seed: int, num_tenants: int = 0) -> None:
        draw = np.random.default_rng(seed)
        medians = draw.lognormal(5.5, 1.0, NUM_DISTRIBUTIONS)
        self.distributions = [
            LengthDistribution.from_samples(
                np.clip(median * draw.lognormal(0.0, 0.7, MAX_ATOMS), 1, MAX_TOKENS)
            )
            for median in medians
        ]
        self.prompts = draw.integers(10, 1500, NUM_DISTRIBUTIONS).tolist()
        self._num_drawn = 0
        self._tenants = [f"tenant-{number}" for number in range(num_tenants)] or [""]

    def submitted(self, now: float) -> tuple[Submitted, Predicted]:
        """The next request and its prediction."""
        self._num_drawn += 1
        job_id, which = f"job-{self._num_drawn}", self._num_drawn % NUM_DISTRIBUTIONS
        submitted = Submitted(
            job_id=job_id,
            arrival_at=now,
            prompt_tokens=self.prompts[which],
            max_tokens=MAX_TOKENS,
            tenant=self._tenants[self._num_drawn % len(self._tenants)],
        )
        return submitted, Predicted(job_id=job_id, distribution=self.distributions[which])


class Bench:
    """A core with a queue of a given length, and requests passing through it.

    Attributes:
        scheduler: the core.
    """

    def __init__(
        self,
        policy: str,
        num_queued: int,
        seed: int,
        pressure: PressureSettings = NO_PRESSURE,
        num_tenants: int = 0,
    ) -> None:
        self.scheduler = Scheduler(PolicySettings(name=policy), ENGINE, pressure=pressure)
        self._traffic = Traffic(seed, num_tenants)
        self._running: list[str] = []
        self._now = 0.0
        while len(self.scheduler.books.queue) < num_queued:
            self._arrive()

    def measure(self, num_chunks: int) -> Cost:
        """Pass requests through the queue, chunk by chunk."""
        rekeys_before = self.scheduler.snapshot().num_rekeys
        chunks = [self.chunk(swing=bool(index % 2)) for index in range(num_chunks)]
        rekeys = self.scheduler.snapshot().num_rekeys - rekeys_before
        return Cost(
            request_s=statistics.median(chunks) / CHUNK,
            progress_s=self._progress(),
            rekeys_per_1000=1000 * rekeys / (num_chunks * CHUNK),
        )

    def chunk(self, swing: bool) -> float:
        """Pass `CHUNK` requests through; CPU seconds."""
        iteration_s = ENGINE.iteration_s * (SWING if swing else 1.0)
        swung = CapacityChanged(capacity=replace(ENGINE, iteration_s=iteration_s))
        arrivals = [self._traffic.submitted(self._now + GAP_S * number) for number in range(CHUNK)]
        began = time.process_time()
        self._handle(swung)
        for submitted, predicted in arrivals:
            self._now += GAP_S
            self._handle(submitted)
            self._handle(predicted)
            self._handle(Finished(job_id=self._running.pop(0)))
        return time.process_time() - began

    def _progress(self) -> float:
        """Make KV the scarce resource, then let every running request report a token."""
        kv_blocks = self.scheduler.snapshot().reserved_blocks + 1
        self._handle(CapacityChanged(capacity=replace(ENGINE, slots=1024, kv_blocks=kv_blocks)))
        began = time.process_time()
        for num_tokens in range(2, 22):
            for job_id in self._running:
                self._now += 1e-4
                self._handle(Progressed(job_id=job_id, output_tokens=num_tokens))
        return (time.process_time() - began) / (20 * len(self._running))

    def _arrive(self) -> None:
        self._now += GAP_S
        submitted, predicted = self._traffic.submitted(self._now)
        self._handle(submitted)
        self._handle(predicted)

    def _handle(self, event: Event) -> None:
        for command in self.scheduler.handle(event, self._now):
            if isinstance(command, Start):
                self._running.append(command.job_id)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--policy", action="append", choices=list(POLICIES), help="default: all")
    parser.add_argument("--queued", action="append", type=int, help="default: 100, 1,000, 10,000 and 100,000")
    parser.add_argument("--chunks", type=int, default=21, help=f"of {CHUNK} requests each (default 21)")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    print(f"{platform.machine()}, Python {platform.python_version()}, numpy {np.__version__}")
    print(f"{'policy':14} {'queued':>8} {'us/request':>11} {'re-keys/1000':>13} {'us/token':>9}")
    for policy in options.policy or list(POLICIES):
        for num_queued in options.queued or [100, 1_000, 10_000, 100_000]:
            cost = Bench(policy, num_queued, options.seed).measure(options.chunks)
            print(
                f"{policy:14} {num_queued:8,} {cost.request_s * 1e6:11.1f} "
                f"{cost.rekeys_per_1000:13.1f} {cost.progress_s * 1e6:9.1f}",
                flush=True,
            )


if __name__ == "__main__":
    main()

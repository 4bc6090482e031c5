"""Shares of tenants over random arrivals: who is served next, and how far anybody gets ahead."""

from collections import defaultdict

from hypothesis import given, settings
from hypothesis import strategies as st

from sagesched_gateway.scheduling import invariants
from sagesched_gateway.scheduling.capacity import EngineCapacity
from sagesched_gateway.scheduling.commands import Start
from sagesched_gateway.scheduling.events import Event, Finished, Submitted
from sagesched_gateway.scheduling.scheduler import Scheduler
from sagesched_gateway.scheduling.settings import PolicySettings, PressureSettings, TenantSettings
from sagesched_predictor.distribution import LengthDistribution

# One token is one step, prefill is free: the charge of a request is its length over the slots.
CAP = 10_000
WEIGHTS = {"a": 1.0, "b": 1.0, "c": 3.0}

quick = settings(max_examples=60, deadline=None)
requests = st.tuples(st.sampled_from(list(WEIGHTS)), st.integers(1, 1000), st.sampled_from([0, 0, 0, 1]))
traces = st.lists(st.tuples(requests, st.integers(0, 2)), min_size=3, max_size=40)
policies = st.sampled_from(["fcfs", "ssjf", "gittins-boost"])


class Shared:
    """An engine of a few slots whose requests are as long as predicted, or as `actual` says."""

    def __init__(self, policy: str, slots: int, actual: float = 1.0) -> None:
        engine = EngineCapacity(slots=slots, max_num_tokens=10**6, iteration_s=1.0, prefill_s_per_token=0.0)
        tenants = PressureSettings(tenants=TenantSettings(weights=WEIGHTS))
        self.scheduler = Scheduler(PolicySettings(name=policy), engine, pressure=tenants)
        self.slots = slots
        self.actual = actual
        self.now = 0.0
        self.known: dict[str, tuple[str, int, int]] = {}
        self.running: list[str] = []
        # Service over weight, by band and tenant, since all that wait now have been waiting.
        self.served: dict[tuple[int, str], float] = defaultdict(float)

    def submit(self, tenant: str, length: int, band: int) -> None:
        self.now += 1.0
        job_id = str(len(self.known))
        self.known[job_id] = (tenant, length, band)
        self._handle(
            Submitted(
                job_id=job_id,
                arrival_at=self.now,
                prompt_tokens=1,
                max_tokens=CAP,
                distribution=LengthDistribution.point(length),
                tenant=tenant,
                priority=band,
            )
        )

    def finish(self) -> None:
        if self.running:
            job_id = self.running.pop(0)
            length = round(self.known[job_id][1] * self.actual)
            self._handle(Finished(job_id=job_id, output_tokens=max(length, 1)))

    def waiting(self) -> set[tuple[int, str]]:
        return {(self.known[job_id][2], self.known[job_id][0]) for job_id in self.scheduler.books.queue}

    def _handle(self, event: Event) -> None:
        waited = self.waiting()
        for command in self.scheduler.handle(event, self.now):
            assert isinstance(command, Start)
            self.running.append(command.job_id)
            tenant, length, band = self.known[command.job_id]
            self.served[band, tenant] += length / self.slots / WEIGHTS[tenant]
            self.on_start(band, tenant, waited)
        invariants.check(self.scheduler)

    def on_start(self, band: int, tenant: str, waited: set[tuple[int, str]]) -> None:
        assert band == max([band, *(other for other, _ in self.waiting())])


@quick
@given(traces, st.integers(1, 3), policies)
def test_nobody_gets_ahead_of_another_who_waits_by_more_than_one_charge(trace, slots, policy):
    """Start-time fair queueing's bound, counted from when both began to wait."""

    class Watched(Shared):
        since: dict[tuple[int, str, str], float]

        def on_start(self, band, tenant, waited):
            super().on_start(band, tenant, waited)
            # A charge as `served` counts it. The theorem: over any time in which both wait, the services of
            # two differ by at most one charge of each.
            longest = max(length / WEIGHTS[name] for name, length, _ in self.known.values()) / self.slots
            for other_band, other in self.waiting():
                if other_band == band and other != tenant:
                    pair = (band, tenant, other)
                    ahead = self.served[band, tenant] - self.served[band, other]
                    self.since[pair] = min(self.since.get(pair, ahead), ahead)
                    assert ahead - self.since[pair] <= 2 * longest + 1e-6

        def _handle(self, event):
            super()._handle(event)
            both = self.waiting()
            for pair in [p for p in self.since if not {(p[0], p[1]), (p[0], p[2])} <= both]:
                del self.since[pair]

    world = Watched(policy, slots)
    world.since = {}
    run(world, trace)


@quick
@given(traces, st.integers(1, 3), policies, st.sampled_from([0.3, 1.0, 3.0]))
def test_who_starts_has_the_smallest_tag_however_wrong_predictions_are(trace, slots, policy, actual):
    class Watched(Shared):
        def on_start(self, band, tenant, waited):
            super().on_start(band, tenant, waited)
            shares = self.scheduler.books.shares
            if (band, tenant) not in waited:
                return
            length = self.known[self.running[-1]][1]
            before = shares.tag(self.scheduler.books.jobs[self.running[-1]].flow)
            before -= length / self.slots / WEIGHTS[tenant]
            for job_id in self.scheduler.books.queue:
                flow = self.scheduler.books.jobs[job_id].flow
                if flow.band == band:
                    assert before <= shares.tag(flow) + 1e-6

    run(Watched(policy, slots, actual), trace)


def run(world: Shared, trace) -> None:
    for (tenant, length, band), finishes in trace:
        world.submit(tenant, length, band)
        for _ in range(finishes):
            world.finish()
    while world.running:
        world.finish()
    assert not len(world.scheduler.books.queue)

"""Shares of tenants, worked by hand: one slot, a token is a step."""

from sagesched_gateway.scheduling import events
from sagesched_gateway.scheduling.job import Flow
from sagesched_gateway.scheduling.settings import PressureSettings, TenantSettings
from sagesched_gateway.scheduling.tenants import FairShares
from sagesched_predictor.distribution import LengthDistribution

A, B = Flow(0, "a"), Flow(0, "b")


def shared(a_core, policy: str = "fcfs", slots: int = 1, **weights: float):
    core = a_core(policy, slots=slots)
    tenants = TenantSettings(weights=weights)
    core.handle(events.PressureChanged(settings=PressureSettings(tenants=tenants)))
    return core


def submit(core, job_id: str, output: int = 100, priority: int = 0) -> None:
    """`job_id` begins with its tenant's name."""
    core.now += 0.001
    core.handle(
        events.Submitted(
            job_id=job_id,
            arrival_at=core.now,
            prompt_tokens=10,
            max_tokens=1000,
            distribution=LengthDistribution.point(output),
            tenant=job_id[0],
            priority=priority,
        )
    )


def drain(core, actual: dict[str, int] | None = None) -> str:
    """Finish one after the other; returns the starts after the first."""
    while len(core.scheduler.books.queue):
        running = next(job_id for job_id in core.started if job_id in core.scheduler.books.ledger)
        core.handle(events.Finished(job_id=running, output_tokens=(actual or {}).get(running)))
    return " ".join(core.started[1:])


def test_a_flood_and_a_trickle_alternate(a_core):
    core = shared(a_core)
    for job_id in ("a0", "a1", "a2", "a3", "b1", "b2"):
        submit(core, job_id)
    assert drain(core) == "b1 a1 b2 a2 a3"


def test_a_weight_of_two_is_served_twice_as_often(a_core):
    core = shared(a_core, b=2.0)
    for job_id in ("a0", "a1", "a2", "a3", "b1", "b2", "b3", "b4"):
        submit(core, job_id)
    assert drain(core) == "b1 b2 a1 b3 b4 a2 a3"


def test_a_long_request_costs_as_much_as_it_is_predicted_to_take(a_core):
    core = shared(a_core)
    submit(core, "a0", 300)
    for job_id in ("a1", "b1", "b2", "b3", "b4"):
        submit(core, job_id, 100)
    assert drain(core) == "b1 b2 b3 a1 b4"


def test_what_it_really_took_is_trued_up(a_core):
    core = shared(a_core)
    for job_id in ("a0", "a1", "a2", "b1", "b2", "b3"):
        submit(core, job_id, 100)
    # a0 ran three times as long as predicted: b gets all of that before a is served again.
    assert drain(core, {"a0": 300}) == "b1 b2 b3 a1 a2"
    core = shared(a_core)
    submit(core, "a0", 300)
    for job_id in ("a1", "a2", "b1", "b2", "b3"):
        submit(core, job_id, 100)
    # a0 ended at once and cost nothing to speak of, not the three turns that b was to have for it.
    assert drain(core, {"a0": 1}) == "b1 a1 b2 a2 b3"


def test_idle_time_is_no_credit(a_core):
    core = shared(a_core)
    for number in range(5):
        submit(core, f"a{number}")
    for number in range(4):
        core.handle(events.Finished(job_id=f"a{number}", output_tokens=100))
    for job_id in ("a5", "a6", "b1", "b2", "b3"):
        submit(core, job_id)
    assert drain(core).split()[4:] == ["b1", "a5", "b2", "a6", "b3"]


def test_within_a_tenant_the_policy_decides(a_core):
    core = shared(a_core, "ssjf")
    submit(core, "a0")
    for job_id, output in (("a-long", 500), ("a-short", 50), ("b-long", 400), ("b-short", 40)):
        submit(core, job_id, output)
    order = drain(core).split()
    assert order.index("a-short") < order.index("a-long")
    assert order.index("b-short") < order.index("b-long")


def test_higher_bands_go_first_whatever_the_shares(a_core):
    core = shared(a_core)
    for job_id, priority in (("a0", 0), ("b1", 0), ("a1", 1), ("a2", 1), ("b2", -1)):
        submit(core, job_id, priority=priority)
    assert drain(core) == "a1 a2 b1 b2"


def test_without_tenants_neither_name_nor_priority_counts(a_core):
    core = a_core("fcfs")
    for job_id, priority in (("a0", 0), ("a1", 0), ("b1", 5)):
        submit(core, job_id, priority=priority)
    assert drain(core) == "a1 b1"


class TestFairShares:
    def test_a_tenant_joins_at_the_virtual_time(self):
        shares = FairShares(TenantSettings())
        shares.charge("one", A, 100.0, 100.0)
        shares.charge("two", A, 100.0, 100.0)
        shares.joins(B)
        assert (shares.virtual(0), shares.tag(A), shares.tag(B)) == (100.0, 200.0, 100.0)

    def test_who_takes_less_than_its_share_owes_nothing_when_it_joins(self):
        shares = FairShares(TenantSettings())
        shares.charge("many", A, 500.0, 1000.0)  # half of the engine for 1,000 iterations
        shares.charge("long", B, 400.0, 4000.0)  # a tenth of it for 4,000
        assert shares.tag(B) == 400.0
        shares.joins(B)
        assert shares.tag(B) == shares.virtual(0)
        shares.joins(A)
        assert shares.tag(A) == 500.0

    def test_a_refund_is_bounded_by_what_was_charged(self):
        shares = FairShares(TenantSettings(weights={"a": 2.0}))
        shares.charge("one", A, 100.0, 10.0)
        shares.settle("one", A, 40.0)
        assert shares.tag(A) == 20.0
        shares.settle("one", A, 1000.0)  # settled once only
        assert shares.tag(A) == 20.0

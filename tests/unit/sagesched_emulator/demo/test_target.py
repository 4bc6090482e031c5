"""A user's own Triton: its addresses, its rate, and what is said about the figures."""

from __future__ import annotations

import pytest

from sagesched_emulator.demo.errors import StartError
from sagesched_emulator.demo.options import Options
from sagesched_emulator.demo.target import UserTriton, finished_per_second, target_addresses
from sagesched_emulator.load_result import LoadResult, RequestTiming


def a_burst(ends: list[float], error: str | None = None) -> LoadResult:
    timings = [
        RequestTiming(id=str(n), due_at=0, sent_at=0, first_at=end, last_at=end, error=error)
        for n, end in enumerate(ends)
    ]
    return LoadResult(started_at=0, ended_at=1, timings=timings)


def test_ports_follow_from_the_grpc_port() -> None:
    addresses = target_addresses(Options(target="triton.example:8001"))
    assert addresses.http == "triton.example:8000"
    assert addresses.metrics == "triton.example:8002"


def test_ports_may_be_given() -> None:
    options = Options(target="h:1", target_http="h:2", target_metrics="h:3")
    addresses = target_addresses(options)
    assert (addresses.grpc, addresses.http, addresses.metrics) == ("h:1", "h:2", "h:3")


@pytest.mark.parametrize("target", ["nohost", ":8001", "host:grpc"])
def test_a_wrong_address_is_refused(target: str) -> None:
    with pytest.raises(StartError, match="give HOST:PORT"):
        target_addresses(Options(target=target))


def test_the_rate_is_that_of_the_middle_of_a_burst() -> None:
    steady = [5.0 + n / 10 for n in range(80)]  # ten per second after a slow start ...
    emptying = [13.0 + 2.0 * n for n in range(16)]  # ... and before a slow end
    assert finished_per_second(a_burst(steady + emptying)) == pytest.approx(10.0)


def test_a_target_that_answers_nothing_is_quoted() -> None:
    with pytest.raises(StartError, match="answered none of 3 requests: NOT_FOUND"):
        finished_per_second(a_burst([1.0, 2.0, 3.0], error="NOT_FOUND: unknown model"))


def test_a_users_engine_is_left_alone() -> None:
    with UserTriton(target_addresses(Options(target="h:1"))) as stand:
        assert stand.seen(0.0, 1.0) is None
        assert stand.hopeless() == ""

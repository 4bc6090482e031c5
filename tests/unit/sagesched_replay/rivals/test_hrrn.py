"""`hrrn`: wait over prompt tokens."""

import pytest

from sagesched_gateway.scheduling.policies.base import Moment
from sagesched_gateway.scheduling.queue import KeyedQueue
from sagesched_replay.rivals.hrrn import Hrrn


def order_at(now: float, a_facts) -> list[str]:
    """Long: 100 tokens, came at 0. Short: 10 tokens, came at 90."""
    policy = Hrrn()
    queue = KeyedQueue(1, policy.view(Moment(0.0, 0.01, 0.0, 1.0)))
    queue.push("long", 0.0, policy.row(a_facts([1], prompt=100)))
    queue.push("short", 90.0, policy.row(a_facts([1], prompt=10)))
    queue.look_through(policy.view(Moment(now, 0.01, 0.0, 1.0)))
    queue.check()
    assert queue.key("long") == pytest.approx(-now / 100)
    return queue.first(2)


def test_a_short_one_overtakes_once_its_ratio_is_larger(a_facts):
    # At 95: 95/100 against 5/10. At 101: 101/100 against 11/10.
    assert order_at(95.0, a_facts) == ["long", "short"]
    assert order_at(101.0, a_facts) == ["short", "long"]

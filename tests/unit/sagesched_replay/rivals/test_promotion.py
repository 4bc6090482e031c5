"""`promotion`: Gittins order until a fixed wait, then before all others."""

import pytest

from sagesched_gateway.scheduling.policies.base import Moment
from sagesched_gateway.scheduling.queue import KeyedQueue
from sagesched_replay.rivals.promotion import Promotion


def order_at(now: float, a_facts) -> list[str]:
    """One of 1,000 tokens that came at 0 and one of 5 that came at 10; promotion after 15 s."""
    policy = Promotion(promote_after_s=15.0)
    oldest = a_facts([1000], at=0.0)
    queue = KeyedQueue(1, policy.view(Moment(now, 0.01, 0.0, 1.0, oldest)))
    queue.push("expensive", 0.0, policy.row(oldest))
    queue.push("cheap", 10.0, policy.row(a_facts([5])))
    queue.check()
    return queue.first(2)


def test_the_expensive_one_goes_first_once_it_has_waited(a_facts):
    assert order_at(14.9, a_facts) == ["cheap", "expensive"]
    assert order_at(15.0, a_facts) == ["expensive", "cheap"]


def test_keys_stand_still_until_somebody_is_promoted(a_facts):
    policy, oldest = Promotion(), a_facts([5], at=10.0)
    assert policy.view(Moment(11.0, 0.01, 0.0, 1.0, oldest)) == policy.view(
        Moment(24.0, 0.01, 0.0, 1.0, oldest)
    )
    assert policy.row(a_facts([10, 1000], prompt=0)) == [50 + 0.5 * 50 / 0.5]  # (½·50 + ½·50) / ½


def test_a_wait_of_nothing_is_refused():
    with pytest.raises(ValueError, match="must be positive"):
        Promotion(promote_after_s=0.0)

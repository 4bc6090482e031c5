"""What may wait: refusals beyond the limits, and times to come again that spread a burst."""

from __future__ import annotations

import pytest

from sagesched_gateway.dispatch.queue_limits import LEAST_RETRY_S, QueueLimits, Waiting
from sagesched_gateway.errors import QueueFullError


def refused(waiting: Waiting, num_waiting: int, num_bytes: int, backlog_s: float, now: float) -> float:
    with pytest.raises(QueueFullError) as caught:
        waiting.check(num_waiting, num_bytes, lambda: backlog_s, now)
    assert caught.value.retry_after_s is not None
    return caught.value.retry_after_s


def test_up_to_the_limits_everybody_may_wait():
    waiting = Waiting(QueueLimits(requests=3, bytes=100))
    waiting.bytes = 90
    waiting.check(2, 10, lambda: 0.0, 0.0)


def test_each_refused_caller_is_told_to_come_one_mean_time_later():
    waiting = Waiting(QueueLimits(requests=10))
    told = [refused(waiting, 10, 1, 50.0, 100.0) for _ in range(3)]
    assert told == pytest.approx([5.0, 10.0, 15.0])
    assert refused(waiting, 10, 1, 50.0, 110.0) == pytest.approx(10.0), "what was told before stands"
    assert refused(waiting, 10, 1, 50.0, 1000.0) == pytest.approx(5.0), "what was told long ago is over"


def test_callers_who_come_again_unasked_do_not_push_others_away():
    waiting = Waiting(QueueLimits(requests=8))
    told = [refused(waiting, 8, 1, 64.0, 100.0) for _ in range(1000)]
    assert max(told) == pytest.approx(64.0), "by then all that waits now will have started"
    assert told[8:16] == pytest.approx(told[:8]), "still one after the other"
    assert refused(waiting, 8, 1, 4.0, 100.0) <= 4.0, "the queue moves faster than it did"


def test_nobody_is_told_to_come_at_once():
    waiting = Waiting(QueueLimits(bytes=100, code="RESOURCE_EXHAUSTED"))
    waiting.bytes = 100
    assert refused(waiting, 0, 1, 0.0, 1.0) == LEAST_RETRY_S

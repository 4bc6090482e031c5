import pytest

from sagesched_gateway.scheduling.backlog import Backlog


def test_it_is_the_sum_of_what_waits():
    backlog = Backlog()
    backlog.add(2.0)
    backlog.add(3.0)
    backlog.remove(2.0)
    assert backlog.steps == 3.0


def test_rounding_is_forgotten_when_nothing_waits():
    backlog = Backlog()
    for size in (1e16, 1.0, 0.1):
        backlog.add(size)
    for size in (1e16, 1.0):
        backlog.remove(size)
    assert backlog.steps >= 0.0
    backlog.remove(0.1)
    assert backlog.steps == 0.0
    backlog.add(0.25)
    assert backlog.steps == pytest.approx(0.25)

"""Who waits inside the engine, judged from outside."""

import pytest

from sagesched_gateway.scheduling.engine_queue import LATE_ITERATIONS, EngineQueue

IT = 0.01
PREFILL = 1e-4


@pytest.fixture
def queue():
    return EngineQueue(IT, PREFILL)


def test_a_prompt_taken_up_at_once_has_not_waited(queue):
    queue.started("a", 200, 0, 0.0, 0.0)
    # The iteration under way, and its own with the prefill.
    assert queue.first_token("a", 2 * IT + 200 * PREFILL, 2.0) == 0.0


def test_one_that_comes_later_has_waited_for_so_many_iterations(queue):
    queue.started("a", 200, 0, 0.0, 0.0)
    waited = queue.first_token("a", 52.5 * IT + 200 * PREFILL, 52.0)
    assert waited == pytest.approx(50)


def test_prefill_of_others_is_not_waiting(queue):
    queue.started("a", 1000, 0, 0.0, 0.0)
    queue.started("b", 10, 1000, 0.0, 0.0)
    assert queue.first_token("b", 2 * IT + 1010 * PREFILL, 30.0) == 0.0


def test_what_the_engine_prefills_unseen_is_not_waiting(queue):
    queue.started("a", 10, 0, 0.0, 0.0)
    # Half a second, in which other answers got two tokens.
    assert queue.first_token("a", 0.5, 2.0) == 0.0


def test_somebody_overdue_is_noticed_before_the_first_token(queue):
    queue.started("a", 10, 0, 0.0, 0.0)
    assert queue.overdue(2 * IT, 2.0) is None
    late = (LATE_ITERATIONS + 3.0) * IT + 10 * PREFILL
    assert queue.overdue(late, 5.0) == "a"
    queue.first_token("a", late, 5.0)
    assert queue.overdue(late, 5.0) is None


def test_one_that_leaves_without_a_token_is_not_awaited(queue):
    queue.started("a", 10, 0, 0.0, 0.0)
    queue.forget("a")
    assert queue.overdue(100.0, 1e4) is None
    assert queue.first_token("a", 100.0, 1e4) is None


@pytest.mark.parametrize("true_s", [2e-5, 4e-4])
def test_the_speed_of_prefill_is_learned(queue, true_s):
    for number in range(200):
        queue.started(str(number), 1000, 0, float(number), 100.0 * number)
        queue.first_token(str(number), number + 1.5 * IT + 1000 * true_s, 100.0 * number + 2)
    assert queue.prefill_s == pytest.approx(true_s, rel=0.1)


def test_waiting_is_not_taken_for_slow_prefill(queue):
    for number in range(200):
        queue.started(str(number), 1000, 0, float(number), 100.0 * number)
        queue.first_token(str(number), number + 50 * IT, 100.0 * number + 50)
    assert queue.prefill_s == PREFILL

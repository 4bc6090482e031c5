"""The queue: key order, ties, lazy removal, moving all keys."""

import numpy as np
import pytest

from sagesched_gateway.scheduling.queue import BY_ARRIVAL, FRONT, KeyedQueue, KeyView


def a_queue(view: KeyView = KeyView(), num_columns: int = 1) -> KeyedQueue:  # noqa: B008
    return KeyedQueue(num_columns, view)


def push(queue: KeyedQueue, job_id: str, key: float, arrival_at: float = 0.0) -> None:
    queue.push(job_id, arrival_at, np.array([key]))


def pop_all(queue: KeyedQueue) -> list[str]:
    order = []
    while len(queue):
        queue.check()
        order.append(queue.head())
        queue.remove(order[-1])
    return order


def test_smallest_key_first():
    queue = a_queue()
    for job_id, key in [("c", 3.0), ("a", 1.0), ("b", 2.0)]:
        push(queue, job_id, key)
    assert pop_all(queue) == ["a", "b", "c"]


def test_equal_keys_go_by_arrival_then_by_insertion():
    queue = a_queue()
    push(queue, "late", 1.0, arrival_at=2.0)
    push(queue, "first of two", 1.0, arrival_at=1.0)
    push(queue, "second of two", 1.0, arrival_at=1.0)
    push(queue, "queued again", 1.0, arrival_at=0.0)
    assert pop_all(queue) == ["queued again", "first of two", "second of two", "late"]


def test_ties_beyond_the_front_keep_their_order():
    queue = a_queue()
    names = [f"{number:04}" for number in range(3 * FRONT)]
    for arrival_at, name in enumerate(names):
        push(queue, name, 1.0, arrival_at=float(arrival_at))
    assert pop_all(queue) == names


def test_another_row_moves_one_job_and_keeps_its_place_among_equals():
    queue = a_queue()
    for job_id, key in [("a", 1.0), ("b", 2.0), ("c", 2.0)]:
        push(queue, job_id, key)
    queue.replace_row("a", np.array([2.0]))
    assert pop_all(queue) == ["a", "b", "c"]


def test_another_view_moves_all_keys():
    queue = a_queue(num_columns=2)
    queue.push("a", 5.0, np.array([1.0, 20.0]))
    queue.push("b", 1.0, np.array([2.0, 10.0]))
    assert queue.first(2) == ["a", "b"]
    queue.look_through(KeyView(column=1))
    assert queue.first(2) == ["b", "a"]
    queue.look_through(KeyView(column=1, arrival_weight=1.0, scale=-1.0))
    assert (queue.key("a"), queue.key("b")) == (-15.0, -9.0)
    queue.look_through(BY_ARRIVAL)
    assert pop_all(queue) == ["b", "a"]


def test_a_removed_job_stays_away_when_keys_move():
    queue = a_queue()
    push(queue, "a", 1.0)
    push(queue, "b", 2.0)
    queue.remove("a")
    queue.look_through(KeyView(scale=-1.0))
    assert "a" not in queue
    assert pop_all(queue) == ["b"]


def test_an_id_may_come_back():
    queue = a_queue()
    push(queue, "a", 1.0)
    push(queue, "b", 2.0)
    queue.remove("a")
    push(queue, "a", 3.0)
    assert list(queue) == ["b", "a"]
    assert pop_all(queue) == ["b", "a"]


def test_the_oldest_is_known_whatever_the_keys():
    queue = a_queue()
    push(queue, "a", 1.0, arrival_at=7.0)
    push(queue, "b", 2.0, arrival_at=3.0)
    assert (queue.oldest(), queue.oldest_arrival()) == ("b", 3.0)
    queue.remove("b")
    assert (queue.oldest(), queue.oldest_arrival()) == ("a", 7.0)


@pytest.mark.parametrize("keep_every", [1, 2, 10])
def test_growing_and_compacting_lose_nobody(keep_every):
    queue = a_queue()
    draw = np.random.default_rng(keep_every)
    keys: dict[str, float] = {}
    for number in range(1000):
        job_id = str(number)
        keys[job_id] = float(draw.random())
        push(queue, job_id, keys[job_id], arrival_at=float(number))
        if number % keep_every:
            victim = str(draw.choice(list(keys)))
            queue.remove(victim)
            del keys[victim]
    assert pop_all(queue) == sorted(keys, key=keys.__getitem__)


@pytest.mark.parametrize("seed", range(5))
def test_the_head_is_right_whatever_comes_and_goes(seed):
    draw = np.random.default_rng(seed)
    queue = a_queue()
    keys: dict[str, float] = {}
    for number in range(3000):
        action = draw.random()
        if action < 0.55 or len(keys) < 2 * FRONT:
            keys[str(number)] = float(draw.random())
            push(queue, str(number), keys[str(number)], arrival_at=float(number))
        elif action < 0.65:
            job_id = str(draw.choice(list(keys)))
            keys[job_id] = float(draw.random())
            queue.replace_row(job_id, np.array([keys[job_id]]))
        elif action < 0.66:
            scale = 1.0 if queue.view.scale < 0 else -1.0
            queue.look_through(KeyView(scale=scale))
        else:
            best = min(keys, key=lambda job_id: keys[job_id] * queue.view.scale)
            assert queue.head() == best
            queue.remove(best)
            del keys[best]
    queue.check()


def test_first_gives_no_more_than_there_are():
    queue = a_queue()
    push(queue, "a", 1.0)
    assert queue.first(9) == ["a"]

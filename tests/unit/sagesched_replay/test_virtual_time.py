"""The clock that jumps."""

from collections.abc import Callable

from sagesched_replay.virtual_time import LAST, VirtualTime


def test_actions_run_in_order_of_their_instants_then_priority_then_plan() -> None:
    time, done = VirtualTime(), list[tuple[str, float]]()

    def noted(name: str) -> Callable[[], None]:
        return lambda: done.append((name, time.now))

    time.at(2.0, noted("late"))
    time.at(1.0, noted("step"), LAST)
    time.at(1.0, noted("first"))
    time.at(1.0, noted("second"))
    time.run()
    assert done == [("first", 1.0), ("second", 1.0), ("step", 1.0), ("late", 2.0)]


def test_an_action_may_plan_others_and_the_past_means_now() -> None:
    time, done = VirtualTime(), list[float]()
    time.at(5.0, lambda: time.at(1.0, lambda: done.append(time.now)))
    time.run()
    assert done == [5.0]

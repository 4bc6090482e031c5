"""The mean queue is a time average over the run, whatever the rhythm of the samples."""

from __future__ import annotations

import pytest

from sagesched_emulator.demo.queue_watch import QueueWatch, time_average


def test_uneven_samples_are_weighted_by_time() -> None:
    watch = QueueWatch()
    watch.add(0.0, 10.0)
    watch.add(1.0, 0.0)
    watch.add(4.0, 4.0)
    assert watch.mean(0.0, 5.0) == pytest.approx((10 * 1 + 0 * 3 + 4 * 1) / 5)


def test_samples_outside_the_window_do_not_count() -> None:
    samples = [(0.0, 100.0), (10.0, 2.0), (20.0, 100.0)]
    assert time_average(samples, 10.0, 20.0) == pytest.approx(2.0)


def test_the_sample_before_the_window_still_holds_at_its_start() -> None:
    assert time_average([(0.0, 3.0)], 5.0, 6.0) == pytest.approx(3.0)


@pytest.mark.parametrize("window", [(0.0, 10.0), (3.0, 3.0)])
def test_nothing_sampled_or_an_empty_window_is_zero(window: tuple[float, float]) -> None:
    assert time_average([], *window) == 0
    assert time_average([(0.0, 5.0)], 3.0, 3.0) == 0

"""Counting who passed whom, against counting pair by pair."""

import numpy as np
import pytest

from sagesched_replay.html.overtaking import CLASSES, length_classes, overtakes
from sagesched_replay.study import Requests


def some_requests(num: int, seed: int) -> Requests:
    rng = np.random.default_rng(seed)
    arrival = np.sort(rng.random(num))
    start = arrival + rng.exponential(0.3, num)
    start[rng.random(num) < 0.1] = np.nan
    return Requests(arrival, start, start, start, rng.integers(1, 50, num).astype(float))


def pair_by_pair(requests: Requests) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    classes = length_classes(requests)
    started = [place for place in range(classes.size) if np.isfinite(requests.start[place])]
    sums, counts = np.zeros((4, 4)), np.zeros(4)
    for one in started:
        counts[classes[one]] += 1
        for other in started:
            if other > one and requests.start[other] < requests.start[one]:
                sums[classes[one], classes[other]] += 1
    return np.asarray(sums / np.maximum(counts, 1)[:, None])


@pytest.mark.parametrize("seed", range(5))
def test_it_counts_each_pair_once(seed: int) -> None:
    requests = some_requests(120, seed)
    np.testing.assert_allclose(overtakes(requests), pair_by_pair(requests))


def test_in_order_of_arrival_nobody_is_overtaken() -> None:
    at = np.arange(40.0)
    assert overtakes(Requests(at, at, at, at, at)).max() == 0


def test_classes_are_quarters() -> None:
    requests = some_requests(101, 0)
    assert np.bincount(length_classes(requests), minlength=4).tolist() == [26, 25, 25, 25]
    assert len(CLASSES) == 4

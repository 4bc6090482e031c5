"""Who was overtaken by whom, by length of answer.

A request is overtaken by one that arrives later and starts earlier. Requests are put into four classes by
their true output length, a quarter each.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sagesched_replay.paired import FloatArray
from sagesched_replay.study import Requests

CLASSES = ("shortest", "short", "long", "longest")


def length_classes(requests: Requests) -> npt.NDArray[np.int64]:
    """The class of each request, 0 for the shortest."""
    order = np.argsort(requests.output, kind="stable")
    classes = np.empty(order.size, dtype=np.int64)
    classes[order] = np.arange(order.size) * len(CLASSES) // max(order.size, 1)
    return classes


def overtakes(requests: Requests) -> FloatArray:
    """Mean number of requests of a class (columns) that overtook one of a class (rows); (4, 4)."""
    started = np.isfinite(requests.start)
    classes = length_classes(requests)[started]
    arrival, start = requests.arrival[started], requests.start[started]
    order = np.lexsort((np.arange(arrival.size), arrival))
    ranks = np.empty(arrival.size, dtype=np.int64)
    ranks[np.argsort(start, kind="stable")] = np.arange(arrival.size)
    sums = np.zeros((len(CLASSES), len(CLASSES)))
    trees = [[0] * (arrival.size + 1) for _ in CLASSES]
    for index in reversed(order.tolist()):  # from the last arrival on: those counted so far came later
        row, rank = int(classes[index]), int(ranks[index])
        for column, tree in enumerate(trees):
            sums[row, column] += _before(tree, rank)
        _add(trees[row], rank)
    counts = np.bincount(classes, minlength=len(CLASSES))
    return np.asarray(sums / np.maximum(counts, 1)[:, None], dtype=np.float64)


def _before(tree: list[int], rank: int) -> int:
    """Entries with a smaller rank (a Fenwick tree)."""
    total = 0
    while rank > 0:
        total += tree[rank]
        rank &= rank - 1
    return total


def _add(tree: list[int], rank: int) -> None:
    place = rank + 1
    while place < len(tree):
        tree[place] += 1
        place += place & -place

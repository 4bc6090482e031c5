"""`KeyedQueue`: the one queue, whatever the policy.

A policy gives each job a row of offsets, once, and now and then a `KeyView` that says how rows become keys:

    key = arrival_weight · arrival + scale · row[column]             smallest first

so moving all keys (another tail rate, another engine speed, the age guard) is one vector operation over the
queue. Ties go by arrival, then by insertion.

*How it is kept.* Rows, arrivals and keys are append-only arrays; removing a job sets its key to infinity, and
when an array is full it is compacted (half of it or more removed) or doubled, so both cost O(1) amortised per
job. The smallest `FRONT` jobs are also kept as a sorted list, the *front*: the scheduler looks at the head on
each token of each stream, and must not search 100,000 keys to find that the head still does not fit. The
front is refilled by one partial sort when used up, that is once in `FRONT` starts.
"""

from __future__ import annotations

import heapq
from bisect import bisect_left, insort
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

FRONT = 96
FIRST_ROOM = 64


class KeyView(NamedTuple):
    """How rows become keys: `arrival_weight · arrival + scale · row[column]`.

    Replay's comparison policies that no such sum expresses (a ratio that grows with the wait) bring a
    subclass with `keys` of their own; what predicts waits reads the fields and is for the gateway's policies
    only.
    """

    column: int = 0
    arrival_weight: float = 0.0
    scale: float = 1.0

    def keys(self, arrivals: FloatArray, rows: FloatArray) -> FloatArray:
        """Keys of n jobs from their arrivals, seconds, shape (n,), and rows, shape (n, num_columns)."""
        keys: FloatArray = rows[:, self.column] * self.scale
        keys += arrivals * self.arrival_weight
        return keys

    def key(self, arrival_at: float, row: FloatArray) -> float:
        """The key of one job."""
        return self.arrival_weight * arrival_at + self.scale * float(row[self.column])


class Work(NamedTuple):
    """Service that jobs are expected to need: mean in engine steps, variance in engine steps squared."""

    mean: float
    variance: float


BY_ARRIVAL = KeyView(column=0, arrival_weight=1.0, scale=0.0)

NO_WORK = Work(0.0, 0.0)

# key, arrival, place (insertion order), job id: tuples compare as the queue orders.
_Entry = tuple[float, float, int, str]


class KeyedQueue:
    """Waiting jobs in key order.

    Attributes:
        view: the view in force.
    """

    def __init__(self, num_columns: int, view: KeyView) -> None:
        self.view = view
        self._rows: FloatArray = np.zeros((FIRST_ROOM, num_columns))
        self._arrivals: FloatArray = np.zeros(FIRST_ROOM)
        self._means: FloatArray = np.zeros(FIRST_ROOM)
        self._variances: FloatArray = np.zeros(FIRST_ROOM)
        self._keys: FloatArray = np.full(FIRST_ROOM, np.inf)
        self._ids: list[str | None] = []
        self._places: dict[str, int] = {}
        self._front: list[_Entry] = []
        self._oldest: list[tuple[float, int]] = []

    def __len__(self) -> int:
        return len(self._places)

    def __contains__(self, job_id: str) -> bool:
        return job_id in self._places

    def __iter__(self) -> Iterator[str]:
        """Ids of all waiting jobs in the order they were inserted."""
        return iter(self._places)

    def push(self, job_id: str, arrival_at: float, row: FloatArray, work: Work = NO_WORK) -> None:
        """Insert a job.

        Args:
            job_id: not in the queue.
            arrival_at: seconds.
            row: offsets, shape (num_columns,), finite.
            work: what it is expected to need.
        """
        if len(self._ids) == self._keys.size:
            self._make_room()
        place = len(self._ids)
        self._ids.append(job_id)
        self._places[job_id] = place
        self._arrivals[place] = arrival_at
        self._means[place], self._variances[place] = work
        heapq.heappush(self._oldest, (arrival_at, place))
        self._set_row(place, arrival_at, row, num_before=len(self._places) - 1)

    def replace_row(self, job_id: str, row: FloatArray, work: Work = NO_WORK) -> None:
        """Give a waiting job another row; its place among equals stays."""
        place = self._places[job_id]
        self._means[place], self._variances[place] = work
        self._leave_front(place)
        self._set_row(place, float(self._arrivals[place]), row, num_before=len(self._places) - 1)

    def remove(self, job_id: str) -> None:
        """Take a waiting job out."""
        place = self._places.pop(job_id)
        self._leave_front(place)
        self._keys[place] = np.inf
        self._ids[place] = None
        if not self._places:
            self._ids.clear()
            self._oldest.clear()

    def first(self, count: int) -> list[str]:
        """Ids of the first `count` jobs (at most `FRONT`) in key order, fewer when fewer wait."""
        if len(self._front) < min(count, len(self._places)):
            self._refill_front()
        return [entry[3] for entry in self._front[:count]]

    def head(self) -> str:
        """Id of the first job; the queue must not be empty."""
        if not self._front:
            self._refill_front()
        return self._front[0][3]

    def oldest_arrival(self) -> float:
        """Earliest arrival among the waiting, seconds; the queue must not be empty."""
        return float(self._arrivals[self._oldest_place()])

    def oldest(self) -> str:
        """Id of the job that arrived first; the queue must not be empty."""
        job_id = self._ids[self._oldest_place()]
        assert job_id is not None
        return job_id

    def key(self, job_id: str) -> float:
        """The key in force of a waiting job."""
        return float(self._keys[self._places[job_id]])

    def view_of(self, job_id: str) -> KeyView:
        """The view that a waiting job is seen through."""
        return self.view

    def row(self, job_id: str) -> FloatArray:
        """The row of a waiting job."""
        row: FloatArray = self._rows[self._places[job_id]]
        return row

    def work(self, job_id: str) -> Work:
        """What a waiting job is expected to need."""
        place = self._places[job_id]
        return Work(float(self._means[place]), float(self._variances[place]))

    def ahead_of(self, key: float) -> Work:
        """Work of all waiting jobs that a newcomer with this key would find before it."""
        used = len(self._ids)
        ahead = (self._keys[:used] <= key).astype(np.float64)
        return Work(float(ahead @ self._means[:used]), float(ahead @ self._variances[:used]))

    def total(self) -> Work:
        """Work of all waiting jobs."""
        return self.ahead_of(float(np.finfo(np.float64).max))

    def look_through(self, view: KeyView) -> None:
        """Put another view in force: all keys move at once."""
        self.view = view
        used = len(self._ids)
        keys = view.keys(self._arrivals[:used], self._rows[:used])
        keys[np.isinf(self._keys[:used])] = np.inf
        self._keys[:used] = keys
        self._front.clear()

    def check(self) -> None:
        """Raise AssertionError where the front or the oldest differ from what all keys say."""
        everyone = sorted(self._entry(place) for place in self._places.values())
        assert self._front == everyone[: len(self._front)]
        assert all(self._ids[place] == job_id for job_id, place in self._places.items())
        assert np.isfinite(self._keys[: len(self._ids)]).sum() == len(self._places)
        if everyone:
            assert self.oldest_arrival() == min(entry[1] for entry in everyone)

    def _set_row(self, place: int, arrival_at: float, row: FloatArray, num_before: int) -> None:
        self._rows[place] = row
        key = self.view.key(arrival_at, row)
        self._keys[place] = key
        job_id = self._ids[place]
        assert job_id is not None
        entry = (key, arrival_at, place, job_id)
        # Outside the front every entry is larger than its last; keep that true.
        if len(self._front) == num_before or (self._front and entry < self._front[-1]):
            insort(self._front, entry)
        if len(self._front) > FRONT:
            self._front.pop()

    def _leave_front(self, place: int) -> None:
        front = self._front
        if not front:
            return
        index = bisect_left(front, (float(self._keys[place]), float(self._arrivals[place]), place, ""))
        if index < len(front) and front[index][2] == place:
            del front[index]

    def _refill_front(self) -> None:
        used = len(self._ids)
        keys = self._keys[:used]
        count = min(FRONT, len(self._places))
        # All up to the count-th key, so that equal keys at the edge are told apart by arrival.
        edge = np.partition(keys, count - 1)[count - 1]
        near = np.flatnonzero(keys <= edge)
        order = np.lexsort((near, self._arrivals[near], keys[near]))[:count]
        self._front = [self._entry(int(place)) for place in near[order]]

    def _entry(self, place: int) -> _Entry:
        job_id = self._ids[place]
        assert job_id is not None
        return (float(self._keys[place]), float(self._arrivals[place]), place, job_id)

    def _oldest_place(self) -> int:
        while self._ids[self._oldest[0][1]] is None:
            heapq.heappop(self._oldest)
        return self._oldest[0][1]

    def _make_room(self) -> None:
        """Compact when half or more is removed, else double."""
        kept = np.fromiter(self._places.values(), dtype=np.int64, count=len(self._places))
        room = self._keys.size if 2 * kept.size <= self._keys.size else 2 * self._keys.size
        rows = np.zeros((room, self._rows.shape[1]))
        arrivals = np.zeros(room)
        means = np.zeros(room)
        variances = np.zeros(room)
        keys = np.full(room, np.inf)
        rows[: kept.size] = self._rows[kept]
        arrivals[: kept.size] = self._arrivals[kept]
        means[: kept.size] = self._means[kept]
        variances[: kept.size] = self._variances[kept]
        keys[: kept.size] = self._keys[kept]
        self._rows, self._arrivals, self._keys = rows, arrivals, keys
        self._means, self._variances = means, variances
        self._ids = list(self._places)
        self._places = {job_id: place for place, job_id in enumerate(self._places)}
        self._oldest = [(float(arrivals[place]), place) for place in range(kept.size)]
        heapq.heapify(self._oldest)
        self._front.clear()

"""Fair shares of the engine among tenants: start-time fair queueing (Goyal, Vin, Cheng, SIGCOMM 1996).

    tag(t)  = service charged to t / weight(t), never behind the band's virtual time when t begins to wait
    next    = the waiting tenant with the smallest tag, its own requests in the policy's order
    start   : virtual time := max(virtual time, tag(t));  tag(t) += predicted steps / weight(t)
    end     : tag(t) += (actual − predicted steps) / weight(t)        [engine steps, see `cost`]

Whoever is served has the smallest tag, so no tenant gets ahead of another that waits as well by more than the
charge of one request. A tenant that had nothing waiting joins at the virtual time: what it did not use while
idle is lost. What it still owes is not, unless what it has in flight takes less of the engine than its share:
a request is charged at once and served over minutes, and who had sent one long one must not wait for the
others to have had as much while half of its share stands empty. Virtual time is the tag of the latest start,
hence no sum over tenants anywhere; with many requests in flight at once this is SFQ(D) (Jin, Chase, Kaur,
SIGMETRICS 2004).

*Order within.* Each tenant is looked at as if it were alone on its share: a policy that follows the backlog
follows that tenant's own, over its share of the weights that wait. Or the flood of one would move the order
among the requests of another.

*Bands.* Priorities are strict: a request of a higher band goes before all of lower ones, and shares are kept
within each band.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from sagesched_gateway.scheduling.backlog import Backlog
from sagesched_gateway.scheduling.job import Flow
from sagesched_gateway.scheduling.policies.base import Moment, Policy
from sagesched_gateway.scheduling.queue import BY_ARRIVAL, FloatArray, KeyedQueue, KeyView, Work
from sagesched_gateway.scheduling.settings import TenantSettings
from sagesched_gateway.scheduling.snapshot import TenantState
from sagesched_gateway.scheduling.tenant_work import TenantWork

LEAST_PART = 1e-9
"""Parts of the engine below this are the rounding of a sum that is zero."""

MAX_REMEMBERED = 4096
"""Tenants whose tag is kept though they owe nothing; beyond, those are forgotten."""


class _Charge(NamedTuple):
    """What a request in flight was charged, and the part of the engine that it takes meanwhile."""

    steps: float
    part: float


class FairShares:
    """What each tenant of each band has been charged.

    Attributes:
        num_moves: raised when a tag moves.
    """

    def __init__(self, settings: TenantSettings) -> None:
        self.num_moves = 0
        self._settings = settings
        self._tags: dict[Flow, float] = {}
        self._virtual: dict[int, float] = {}
        self._charged: dict[str, _Charge] = {}
        self._in_flight: dict[Flow, float] = {}

    def weight(self, flow: Flow) -> float:
        """The tenant's weight."""
        return self._settings.weights.get(flow.tenant, self._settings.default_weight)

    def tag(self, flow: Flow) -> float:
        """Charged service over weight, steps."""
        return self._tags.get(flow, self.virtual(flow.band))

    def virtual(self, band: int) -> float:
        """The band's virtual time, steps."""
        return self._virtual.get(band, 0.0)

    def joins(self, flow: Flow) -> None:
        """A tenant begins to wait: it claims nothing for the time before."""
        self.num_moves += 1
        virtual = self.virtual(flow.band)
        if self._tags.get(flow, virtual) <= virtual or self._has_room(flow):
            self._tags[flow] = virtual
        if len(self._tags) > MAX_REMEMBERED:
            self._tags = {
                known: tag
                for known, tag in self._tags.items()
                if known == flow or tag > self.virtual(known.band)
            }

    def charge(self, job_id: str, flow: Flow, steps: float, iterations: float) -> None:
        """A request starts, predicted to take so many steps of the engine over so many iterations."""
        self.num_moves += 1
        tag = self.tag(flow)
        self._virtual[flow.band] = max(self.virtual(flow.band), tag)
        self._tags[flow] = tag + steps / self.weight(flow)
        self._charged[job_id] = _Charge(steps, steps / iterations)
        self._in_flight[flow] = self._in_flight.get(flow, 0.0) + steps / iterations

    def settle(self, job_id: str, flow: Flow, steps: float | None) -> None:
        """A request has left the engine after so many steps; None where nobody knows: as predicted."""
        charged = self._charged.pop(job_id, None)
        if charged is None:
            return
        self._in_flight[flow] -= charged.part
        if self._in_flight[flow] < LEAST_PART:
            del self._in_flight[flow]
        if steps is not None:
            self.num_moves += 1
            self._tags[flow] = self.tag(flow) + (steps - charged.steps) / self.weight(flow)

    def _has_room(self, flow: Flow) -> bool:
        """Whether a tenant takes less of the engine than its share among those who have work in flight."""
        mine, weight = self._in_flight.get(flow, 0.0), self.weight(flow)
        weights = weight + sum(self.weight(other) for other in self._in_flight if other != flow)
        return mine * weights < weight * sum(self._in_flight.values())


class FairQueue:
    """Waiting jobs by band, tenant, and the policy's order within; used like `KeyedQueue`.

    Attributes:
        shares: what tenants were charged.
    """

    def __init__(self, new_policy: Callable[[], Policy], shares: FairShares) -> None:
        """Start empty.

        Args:
            new_policy: makes the policy that orders one tenant's requests; it may remember things.
            shares: what tenants were charged.
        """
        self.shares = shares
        self._new_policy = new_policy
        self._queues: dict[Flow, KeyedQueue] = {}
        self._policies: dict[Flow, Policy] = {}
        self._steps: dict[Flow, Backlog] = {}
        self._flows: dict[str, Flow] = {}
        self._work: TenantWork | None = None
        self._work_moves = -1

    def __len__(self) -> int:
        return len(self._flows)

    def __contains__(self, job_id: str) -> bool:
        return job_id in self._flows

    def __iter__(self) -> Iterator[str]:
        """Ids of all waiting jobs in the order they were inserted."""
        return iter(self._flows)

    def push(self, job_id: str, arrival_at: float, row: FloatArray, work: Work, flow: Flow) -> None:
        """Insert a job of this tenant and band."""
        queue = self._queues.get(flow)
        if queue is None:
            self.shares.joins(flow)
            queue = self._queues[flow] = KeyedQueue(row.size, BY_ARRIVAL)
            self._policies[flow] = self._new_policy()
            self._steps[flow] = Backlog()
            self._work = None
        self._flows[job_id] = flow
        self._note_work(flow)
        self._steps[flow].add(work.mean)
        queue.push(job_id, arrival_at, row, work)

    def replace_row(self, job_id: str, row: FloatArray, work: Work) -> None:
        """Give a waiting job another row; its place among equals stays."""
        flow = self._flows[job_id]
        queue = self._queues[flow]
        self._steps[flow].remove(queue.work(job_id).mean)
        self._steps[flow].add(work.mean)
        self._note_work(flow)
        queue.replace_row(job_id, row, work)

    def remove(self, job_id: str) -> None:
        """Take a waiting job out."""
        flow = self._flows.pop(job_id)
        queue = self._queues[flow]
        self._steps[flow].remove(queue.work(job_id).mean)
        queue.remove(job_id)
        self._note_work(flow)
        if not len(queue):
            del self._queues[flow], self._policies[flow], self._steps[flow]
            self._work = None

    def head(self) -> str:
        """Id of the first job; the queue must not be empty."""
        return self._queues[min(self._queues, key=self._turn)].head()

    def first(self, count: int) -> list[str]:
        """Ids of the first `count` jobs, tenant by tenant in the order of their tags."""
        ids: list[str] = []
        for flow in sorted(self._queues, key=self._turn):
            ids += self._queues[flow].first(count - len(ids))
            if len(ids) == count:
                break
        return ids

    def oldest_arrival(self) -> float:
        """Earliest arrival among the waiting, seconds; the queue must not be empty."""
        return min(queue.oldest_arrival() for queue in self._queues.values())

    def oldest(self) -> str:
        """Id of the job that arrived first; the queue must not be empty."""
        return min(self._queues.values(), key=KeyedQueue.oldest_arrival).oldest()

    def key(self, job_id: str) -> float:
        """The key in force of a waiting job, within its tenant."""
        return self._queues[self._flows[job_id]].key(job_id)

    def row(self, job_id: str) -> FloatArray:
        """The row of a waiting job."""
        return self._queues[self._flows[job_id]].row(job_id)

    def view_of(self, job_id: str) -> KeyView:
        """The view that a waiting job is seen through."""
        return self._queues[self._flows[job_id]].view

    def view_for(self, flow: Flow) -> KeyView:
        """The view that a newcomer would be seen through."""
        return self._queues[flow].view if flow in self._queues else BY_ARRIVAL

    def look_again(self, moment: Moment) -> bool:
        """Let the tenant whose turn it is be seen as its policy wants it now; returns whether keys moved."""
        flow = min(self._queues, key=self._turn)
        weights = sum(self.shares.weight(other) for other in self._queues if other.band == flow.band)
        backlog = self._steps[flow].steps * weights / self.shares.weight(flow)
        view = self._policies[flow].view(moment._replace(backlog_steps=backlog))
        queue = self._queues[flow]
        if view == queue.view:
            return False
        queue.look_through(view)
        return True

    def ahead_of(self, key: float, flow: Flow) -> Work:
        """Work that goes before a newcomer with this key: all of higher bands, and what is due in its own.

        While a tenant's own work ahead is served, each other one of the band gets its share of service, as
        far as it has work, and what it is behind.
        """
        own = self._queues.get(flow)
        mine = own.ahead_of(key) if own is not None else Work(0.0, 0.0)
        reached = self.shares.tag(flow) + mine.mean / self.shares.weight(flow)
        others = self._tenant_work().ahead_of(flow, reached)
        return Work(mine.mean + others.mean, mine.variance + others.variance)

    def total(self) -> Work:
        """Work of all waiting jobs."""
        totals = [queue.total() for queue in self._queues.values()]
        return Work(sum(work.mean for work in totals), sum(work.variance for work in totals))

    def waiting_tenants(self, iteration_s: float) -> tuple[TenantState, ...]:
        """Who waits, most work first."""
        states = [
            TenantState(
                name=flow.tenant,
                priority=flow.band,
                weight=self.shares.weight(flow),
                queued=len(queue),
                backlog_s=self._steps[flow].steps * iteration_s,
                owes_s=max(self.shares.tag(flow) - self.shares.virtual(flow.band), 0.0) * iteration_s,
            )
            for flow, queue in self._queues.items()
        ]
        return tuple(sorted(states, key=lambda state: -state.backlog_s))

    def check(self) -> None:
        """Raise AssertionError where a tenant's queue is empty, wrong in itself, or holds another's job."""
        for flow, queue in self._queues.items():
            assert len(queue), f"an empty queue was kept: {flow}"
            assert all(self._flows[job_id] == flow for job_id in queue)
            queue.check()
        assert sum(len(queue) for queue in self._queues.values()) == len(self._flows)

    def _note_work(self, flow: Flow) -> None:
        if self._work is not None:
            self._work.changed(flow)

    def _tenant_work(self) -> TenantWork:
        shares = self.shares
        if self._work is None or self._work_moves != shares.num_moves:
            weights = {flow: shares.weight(flow) for flow in self._queues}
            tags = {flow: shares.tag(flow) for flow in self._queues}
            self._work, self._work_moves = TenantWork(self._queues, weights, tags), shares.num_moves
        return self._work

    def _turn(self, flow: Flow) -> tuple[int, float, float, str]:
        """Highest band, smallest tag; ties by the oldest waiting, then by name."""
        return (-flow.band, self.shares.tag(flow), self._queues[flow].oldest_arrival(), flow.tenant)

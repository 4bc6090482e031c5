"""`TenantWork`: what goes before a request by the shares of all tenants that wait, in one vector operation.

A drain asks it for each waiting request, and a deadline for each newcomer; asking each tenant's queue each
time would take milliseconds where hundreds of tenants wait.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from sagesched_gateway.scheduling.job import Flow
from sagesched_gateway.scheduling.queue import FloatArray, KeyedQueue, Work


class TenantWork:
    """Band, weight, tag and work of each waiting tenant, as arrays.

    To be made anew when a tenant begins or ceases to wait, or a tag moves; a tenant's work may change.
    """

    def __init__(
        self, queues: Mapping[Flow, KeyedQueue], weights: Mapping[Flow, float], tags: Mapping[Flow, float]
    ) -> None:
        """Take all tenants that wait; the queues are looked at again, the rest is copied."""
        self._queues = queues
        self._places = {flow: place for place, flow in enumerate(queues)}
        self._bands = np.array([flow.band for flow in queues])
        self._weights = np.array([weights[flow] for flow in queues])
        self._tags = np.array([tags[flow] for flow in queues])
        self._means: FloatArray = np.zeros(len(queues))
        self._variances: FloatArray = np.zeros(len(queues))
        self._changed = set(queues)

    def changed(self, flow: Flow) -> None:
        """The work of a tenant that waits is another one now."""
        self._changed.add(flow)

    def ahead_of(self, flow: Flow, reached: float) -> Work:
        """Work of others until a tenant's tag is `reached`: all of higher bands, and what its own is due.

        Each other tenant of the band gets its share of service, as far as it has work, and what it is behind.
        """
        self._look_again()
        means = self._means
        done = np.clip(self._weights * (reached - self._tags), 0.0, means)
        done[self._bands > flow.band] = means[self._bands > flow.band]
        done[self._bands < flow.band] = 0.0
        if flow in self._places:
            done[self._places[flow]] = 0.0
        shares = np.divide(done, means, out=np.zeros_like(means), where=means > 0.0)
        return Work(float(done.sum()), float(shares @ self._variances))

    def _look_again(self) -> None:
        for flow in self._changed:
            place = self._places[flow]
            self._means[place], self._variances[place] = self._queues[flow].total()
        self._changed.clear()

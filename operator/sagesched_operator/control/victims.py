"""Which pods go when a pool shrinks: those with the least predicted work left. Pure.

The ReplicaSet controller removes pods that are not ready first, then those of the lowest deletion cost.
"""

from __future__ import annotations

from collections.abc import Sequence

from sagesched_operator.control.pods import PodView
from sagesched_operator.control.reports import Reports

GOES = "-1"
"""Deletion cost of a pod that is to go; pods without the annotation count 0."""


def deletion_costs(pods: Sequence[PodView], reports: Reports, num_going: int) -> dict[str, str | None]:
    """Pod name → deletion cost to write (None: take the annotation away), for pods where it differs.

    Args:
        pods: of the pool.
        reports: of their gateways; a pod that has told nothing is spared before one that told.
        num_going: how many pods will go.
    """
    here = [pod for pod in pods if not pod.is_ending]
    num_not_ready = sum(not pod.is_ready for pod in here)
    ready = sorted((pod for pod in here if pod.is_ready), key=lambda pod: _work_left(pod, reports))
    going = {pod.name for pod in ready[: max(num_going - num_not_ready, 0)]}
    costs: dict[str, str | None] = {}
    for pod in here:
        if pod.name in going and pod.deletion_cost != GOES:
            costs[pod.name] = GOES
        elif pod.name not in going and pod.deletion_cost == GOES:
            costs[pod.name] = None
    return costs


def _work_left(pod: PodView, reports: Reports) -> tuple[bool, float, int, str]:
    report = reports.get(pod.uid)
    if report is None:
        return True, 0.0, 0, pod.name
    status = report.status
    return False, status.drain.all_s, status.queue.in_flight + status.queue.queued, pod.name

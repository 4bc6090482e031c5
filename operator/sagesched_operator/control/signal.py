"""How many pods a pool wants, from what its gateways say. Pure.

    wanted = Σ in-flight ÷ slots   (pods' worth of work in the engines)
           + extra                 (pods that the backlog is worth, credit for warming pods taken off)

    extra  = max(x · r ÷ (r + w), min(x, w)),   x = Σ backlog seconds ÷ targetBacklogSeconds,
             r pods ready, w pods warming up

Backlog seconds of a pod: until all that waits there has started, at `scaling.quantile`. Gateways tell the
quantiles 0.5 and 0.9; between and a little beyond them the logarithm goes with the normal quantile.

What runs keeps its pods, so an empty queue in front of busy engines does not shrink the pool. Pods on their
way take their share of the backlog when they come: without that credit a scaler asks for them again and
again; and while the backlog still needs them, they are not sent away again. Beside that, one pod more (a
tenth more of a large pool, for scalers overlook less) while the oldest request waits too long and none is on
its way. What is not known is never taken for 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

from sagesched_gateway.status import QueueStatus
from sagesched_operator.api.lifecycle import ScalingSpec
from sagesched_operator.control.pods import PodView
from sagesched_operator.control.reports import FRESH_S, Reports

_LEAST_KNOWN = 0.5
_LEAST_BACKLOG_S = 1e-6
"""Nobody predicts less; a ratio to it could be beyond all numbers."""

_TOLERANCE = 1.11
"""A HorizontalPodAutoscaler, KEDA's too, does nothing for a tenth more or less."""


class SignalUnknownError(Exception):
    """The load cannot be told; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Signal:
    """What scaling goes by.

    Attributes:
        wanted: pods, a fraction.
        backlog_s: predicted seconds waiting in the whole pool.
        backlog_per_pod_s: the same for each ready pod.
        num_warming: pods that are not ready yet, credited with their share of the backlog.
        waits_too_long: a request has waited longer than `scaling.maxWaitSeconds`.
    """

    wanted: float
    backlog_s: float
    backlog_per_pod_s: float
    num_warming: int = 0
    waits_too_long: bool = False


def signal_of(scaling: ScalingSpec, pods: Sequence[PodView], reports: Reports, now: float) -> Signal:
    """The signal.

    Args:
        scaling: targets.
        pods: of the pool.
        reports: of their gateways.
        now: monotonic seconds.

    Raises:
        SignalUnknownError: no pod is ready, or too few of the ready ones have reported lately.
    """
    here = [pod for pod in pods if not pod.is_ending]
    ready = [pod for pod in here if pod.is_ready]
    known = [
        reports[pod.uid].status
        for pod in ready
        if pod.uid in reports and now - reports[pod.uid].read_at <= FRESH_S
    ]
    if not ready:
        raise SignalUnknownError("no pod is ready")
    if len(known) < _LEAST_KNOWN * len(ready):
        raise SignalUnknownError(
            f"{len(known)} of {len(ready)} gateways have reported within {FRESH_S:.0f} s"
        )
    scale = len(ready) / len(known)
    warming = len(here) - len(ready)
    busy = scale * sum(
        min(status.queue.in_flight / status.engine.slots, 1.0) for status in known if status.engine.slots
    )
    backlog_s = scale * sum(_backlog_s(status.queue, scaling.quantile) for status in known)
    worth = backlog_s / scaling.target_backlog_seconds
    extra = max(worth * len(ready) / (len(ready) + warming), min(worth, float(warming)))
    wanted = busy + extra
    waits_too_long = max(status.queue.oldest_wait_s for status in known) > scaling.max_wait_seconds
    if waits_too_long and not warming:
        wanted = max(wanted, len(ready) + 1.0, len(ready) * _TOLERANCE)
    return Signal(
        wanted=wanted,
        backlog_s=backlog_s,
        backlog_per_pod_s=backlog_s / len(ready),
        num_warming=warming,
        waits_too_long=waits_too_long,
    )


def _backlog_s(queue: QueueStatus, quantile: float) -> float:
    """Seconds until all that waits has started; the mean work where no quantiles are told."""
    p50_s, p90_s = queue.backlog_p50_s, queue.backlog_p90_s
    if p50_s < _LEAST_BACKLOG_S or p90_s < p50_s:
        return max(queue.backlog_s, p90_s)
    normal = NormalDist()
    share = normal.inv_cdf(quantile) / normal.inv_cdf(0.9)
    return float(p50_s * (p90_s / p50_s) ** share)

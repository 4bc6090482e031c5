"""What is written as a pool's status, from what is there. Pure; `now` is passed in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sagesched_operator.api.pool import Pool
from sagesched_operator.build.desired import Desired
from sagesched_operator.build.images import gateway_image
from sagesched_operator.build.service import address_of
from sagesched_operator.build.settings import settings_digest
from sagesched_operator.build.shutdown import grace_seconds
from sagesched_operator.build.surroundings import Installation
from sagesched_operator.conditions import merge
from sagesched_operator.control.buckets import Buckets
from sagesched_operator.control.observed import Observed, counts_of
from sagesched_operator.control.reports import Summary
from sagesched_operator.control.scaling_status import scaling_status
from sagesched_operator.control.verdicts import conditions_of
from sagesched_operator.names import selector_of

_COVERAGES = Buckets(
    (0.5, 0.7, 0.85, 0.95), ("0-0.5", "0.5-0.7", "0.7-0.85", "0.85-0.95", "0.95-1"), slack=0.02
)


def compute_status(
    pool: Pool, desired: Desired | None, observed: Observed, installation: Installation, *, now: str
) -> dict[str, Any]:
    """The whole status.

    Args:
        pool: with the status as last written.
        desired: what the pool should have; None where that could not be told.
        observed: what is there.
        installation: the operator's.
        now: RFC 3339, for conditions that change.
    """
    counts = counts_of(observed.deployment)
    summary = observed.summary
    status: dict[str, Any] = {
        "observedGeneration": pool.generation,
        "replicas": counts.replicas,
        "readyReplicas": counts.ready,
        "updatedReplicas": counts.updated,
        "selector": ",".join(f"{key}={value}" for key, value in selector_of(pool).items()),
        "policyInEffect": summary.policy or "unknown",
        "address": address_of(pool),
        "scaling": scaling_status(pool, desired, observed),
        "conditions": merge(
            pool.status.get("conditions", ()),
            conditions_of(pool, desired, observed, counts),
            generation=pool.generation,
            now=now,
        ),
    }
    if summary.num_reporting:
        status["predictor"] = _predictor(summary, pool.status.get("predictor", {}))
    if desired is not None:
        status["revision"] = desired.revision
        if summary.digests:
            num_ready = sum(pod.is_ready for pod in observed.here)
            status["settingsInEffect"] = (
                summary.digests == {settings_digest(desired.settings)} and summary.num_reporting == num_ready
            )
        status["effective"] = {
            "gatewayImage": gateway_image(pool, installation),
            "gracePeriodSeconds": grace_seconds(pool),
            "gpuSharing": desired.sharing,
        }
        if summary.in_flight:
            status["effective"]["inFlight"] = summary.in_flight
    return status


def _predictor(summary: Summary, before: Mapping[str, Any]) -> dict[str, Any]:
    section = {"mode": summary.predictor_mode, "history": summary.history}
    if summary.provider:
        section["provider"] = summary.provider
    if summary.coverage is not None:
        section["coverage"] = _COVERAGES.of(summary.coverage, before.get("coverage", ""))
    return section

"""`PodNotes`: the annotations that the operator writes on pods, which the Deployment makes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from sagesched_operator.api.pool import Pool
from sagesched_operator.build.desired import Desired
from sagesched_operator.build.manifest import Manifest
from sagesched_operator.build.settings import settings_digest
from sagesched_operator.cluster.cache import Cache
from sagesched_operator.cluster.client import Api
from sagesched_operator.cluster.errors import ApiError
from sagesched_operator.cluster.kinds import POD
from sagesched_operator.control.outcome import Outcome
from sagesched_operator.control.pods import PodView
from sagesched_operator.control.reports import Reports
from sagesched_operator.control.victims import deletion_costs
from sagesched_operator.names import DELETION_COST, SETTINGS_DIGEST

AskNow = Callable[[Sequence[PodView]], Awaitable[Reports]]
"""Asks the gateways of some pods anew; returns the latest of all."""


class PodNotes:
    """Writes them."""

    def __init__(self, api: Api, pods: Cache, ask_now: AskNow) -> None:
        """Take the parts it works with."""
        self._api = api
        self._pods = pods
        self._ask_now = ask_now

    async def mark_victims(
        self, wanted: Manifest, live: Mapping[str, Any], pods: Sequence[PodView], outcome: Outcome
    ) -> None:
        """Before the Deployment shrinks: who has the least left to do goes first."""
        num_going = max(int(live["spec"].get("replicas", 0)) - int(wanted["spec"]["replicas"]), 0)
        if not num_going:
            return
        # What was read in the last round may be seconds old, and an idle pod busy by now.
        reports = await self._ask_now(pods)
        for name, cost in deletion_costs(pods, reports, num_going).items():
            await self._annotate(wanted["metadata"]["namespace"], name, {DELETION_COST: cost}, outcome)

    async def hasten(
        self, pool: Pool, desired: Desired, pods: Sequence[PodView], reports: Reports, outcome: Outcome
    ) -> None:
        """Kubelet looks at a pod's mounts when the pod changes, else only about once a minute."""
        digest = settings_digest(desired.settings)
        for pod in pods:
            report = reports.get(pod.uid)
            if report is None or pod.is_ending or pod.settings_digest == digest:
                continue
            if report.status.config.file_digest not in ("", digest):
                await self._annotate(pool.namespace, pod.name, {SETTINGS_DIGEST: digest}, outcome)

    async def _annotate(
        self, namespace: str, name: str, annotations: Mapping[str, str | None], outcome: Outcome
    ) -> None:
        """Pods do without: what a policy refuses is told, and stands in nothing's way."""
        try:
            body = await self._api.merge(POD, namespace, name, {"metadata": {"annotations": annotations}})
        except ApiError as error:
            if not error.is_refusal:
                raise
            if error.code != 404:  # the pod is gone
                outcome.troubles.append(("ObjectFailed", f"Pod {name} cannot be annotated: {error}"))
        else:
            self._pods.put(body, is_ours=True)

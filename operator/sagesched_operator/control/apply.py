"""`Applier`: the only writer of a pool's children. What is as wanted is not written again."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Sequence

from sagesched_operator.api.pool import Pool
from sagesched_operator.build.desired import Desired
from sagesched_operator.build.manifest import Manifest
from sagesched_operator.cluster.cache import PoolKey, Seen
from sagesched_operator.cluster.client import Api
from sagesched_operator.cluster.compare import first_difference
from sagesched_operator.cluster.errors import ApiError
from sagesched_operator.cluster.kinds import (
    CHILDREN,
    CLAIM_TEMPLATE,
    CONFIG_MAP,
    CONTROLLER_REVISION,
    DEPLOYMENT,
    HPA,
    OPTIONAL_CHILDREN,
    POD,
    SCALERS,
    SERVICE_ACCOUNT,
    Kind,
)
from sagesched_operator.control.children import Children
from sagesched_operator.control.fights import NOT_KEPT_PAUSE_S, Fights
from sagesched_operator.control.metrics import OperatorMetrics
from sagesched_operator.control.observed import counts_of
from sagesched_operator.control.outcome import Outcome
from sagesched_operator.control.pod_notes import AskNow, PodNotes
from sagesched_operator.control.pods import PodView
from sagesched_operator.control.reports import Reports
from sagesched_operator.names import APPLIED_HASH, POOL_LABEL

_LOG = logging.getLogger(__name__)

_KINDS = {kind.name: kind for kind in (*CHILDREN, *OPTIONAL_CHILDREN)}
_DISPENSABLE = frozenset({*OPTIONAL_CHILDREN, HPA})
"""Pods serve without them: one that cannot be written for now stands in no other's way."""

_FAILED_AGAIN_S = 30.0

_TAKEN_OVER = frozenset({CONFIG_MAP, SERVICE_ACCOUNT})
"""An apply without force takes somebody else's over where no field conflicts, and they have few fields."""


class Applier:
    """Makes the children what they should be."""

    def __init__(
        self,
        api: Api,
        children: Children,
        metrics: OperatorMetrics,
        ask_now: AskNow,
    ) -> None:
        """Take the parts it works with.

        Args:
            api: to write with.
            children: as they are.
            metrics: counts what was put right.
            ask_now: asks the gateways of some pods anew; returns the latest of all.
        """
        self._api = api
        self._children = children
        self._metrics = metrics
        self._notes = PodNotes(api, children.cache(POD.name), ask_now)
        self._fights = Fights()

    def is_missing_some(self, pool: Pool, desired: Desired) -> bool:
        """Whether a child has to be made."""
        key = (pool.namespace, pool.name)
        return any(
            self._children.cache(wanted["kind"]).find(key, wanted["metadata"]["name"]) is None
            for wanted in desired.objects
        )

    async def apply(self, pool: Pool, desired: Desired, pods: Sequence[PodView], reports: Reports) -> Outcome:
        """Write what differs, delete what is no longer wanted.

        Args:
            pool: whose children.
            desired: what there should be.
            pods: of the pool.
            reports: of its gateways.

        Raises:
            ApiError: a request failed and may succeed later; what was written before it stays written.
        """
        outcome = Outcome()
        key = (pool.namespace, pool.name)
        # KEDA refuses to scale what another scaler still has.
        await self._prune(pool, desired, outcome, SCALERS)
        refused: set[str] = set()
        # A revision comes after the pods that are made from it: the history is of what ran.
        for wanted in sorted(desired.objects, key=lambda one: one["kind"] == CONTROLLER_REVISION.name):
            kind, name = _KINDS[wanted["kind"]], wanted["metadata"]["name"]
            if kind is CONTROLLER_REVISION and DEPLOYMENT.name in refused:
                continue
            live = self._children.cache(kind.name).find(key, name)
            if kind is DEPLOYMENT and live is not None:
                await self._notes.mark_victims(wanted, live.body, pods, outcome)
            try:
                await self._bring_about(pool, wanted, live, outcome)
            except ApiError as error:
                refused.add(kind.name)
                self._note_failure(kind, name, error, outcome)
        await self._prune(pool, desired, outcome, _KINDS.values())
        await self._notes.hasten(pool, desired, pods, reports, outcome)
        return outcome

    def _note_failure(self, kind: Kind, name: str, error: ApiError, outcome: Outcome) -> None:
        """Go on with the others where that makes sense; else raise."""
        if kind in OPTIONAL_CHILDREN and error.is_about_the_kind:
            self._children.lost(kind)
            outcome.again(1.0)
        elif error.is_about_a_webhook or (kind in _DISPENSABLE and error.code >= 500):
            outcome.troubles.append(("ObjectFailed", f"{kind.name} {name} cannot be written: {error}"))
            outcome.is_unfinished |= kind not in _DISPENSABLE
            outcome.again(_FAILED_AGAIN_S)
        elif error.is_refusal:
            outcome.refused = outcome.refused or error
        else:
            raise error

    async def _bring_about(self, pool: Pool, wanted: Manifest, live: Seen | None, outcome: Outcome) -> None:
        kind, name = _KINDS[wanted["kind"]], wanted["metadata"]["name"]
        if live is None:
            if kind in _TAKEN_OVER and await self._is_somebody_elses(kind, wanted):
                self._note_conflict(kind, name, "it was there before the pool", outcome)
            else:
                await self._write(kind, wanted, outcome, force=False)
            return
        body = live.body
        owners = {owner["uid"] for owner in body["metadata"].get("ownerReferences", ())}
        if "deletionTimestamp" in body["metadata"] or (owners and pool.uid not in owners):
            outcome.again(5.0)  # of a pool of the same name that is gone; the garbage collector comes for it
            return
        now = asyncio.get_running_loop().time()
        child = (kind.name, live.namespace, live.name)
        if kind is CONTROLLER_REVISION:
            # Its content cannot be changed, and need not be: it is what was when it was made.
            if wanted["revision"] == body["revision"]:
                return
            pause_s = self._fights.pause_s(child, now)  # two operators may each have their own for the newest
            if pause_s:
                outcome.again(pause_s)
                return
            self._fights.repaired(child, now)
            await self._write(kind, {**wanted, "data": body["data"]}, outcome, force=True)
            return
        difference = first_difference(wanted, body)
        if not difference:
            return
        wanted_hash = wanted["metadata"]["annotations"][APPLIED_HASH]
        is_drift = wanted_hash == body["metadata"].get("annotations", {}).get(APPLIED_HASH)
        is_drift = is_drift or self._fights.is_undone(child, wanted_hash)
        not_kept_s = self._fights.not_kept_pause_s(child, wanted_hash, difference, now)
        if not_kept_s:
            self._note_not_kept(kind, name, difference, not_kept_s, outcome)
            return
        pause_s = self._fights.pause_s(child, now) if is_drift else 0.0
        if pause_s:
            outcome.again(pause_s)
            who = f" by {live.manager}" if live.manager else ""
            if difference.endswith(APPLIED_HASH):
                who = " by another operator of pools: there must be one alone for each namespace"
            outcome.troubles.append(
                ("FieldConflict", f"{kind.name} {name}: {difference} is changed again and again{who}")
            )
            return
        if is_drift:
            self._fights.repaired(child, now)
            self._metrics.repaired(kind.name)
            _LOG.info("%s %s/%s: %s put right", kind.name, live.namespace, name, difference)
        await self._write(kind, wanted, outcome, force=True)

    async def _write(self, kind: Kind, wanted: Manifest, outcome: Outcome, *, force: bool) -> None:
        metadata = wanted["metadata"]
        name = metadata["name"]
        try:
            body = await self._api.apply(kind, wanted, force=force)
        except ApiError as error:
            # Without force: something of that name is there and is somebody else's.
            if error.code == 409 and not force:
                self._note_conflict(kind, name, str(error), outcome)
                return
            raise
        outcome.num_writes += 1
        self._children.cache(kind.name).put(body, is_ours=True)
        difference, now = first_difference(wanted, body), asyncio.get_running_loop().time()
        child = (kind.name, metadata["namespace"], name)
        self._fights.wrote(child, metadata["annotations"][APPLIED_HASH], difference, now)
        if difference:
            self._note_not_kept(kind, name, difference, NOT_KEPT_PAUSE_S, outcome)

    def _note_not_kept(
        self, kind: Kind, name: str, difference: str, again_s: float, outcome: Outcome
    ) -> None:
        why = "a feature of the cluster that is off, a definition of another release, or an admission webhook"
        outcome.troubles.append(
            ("FieldNotKept", f"{kind.name} {name}: the API server does not keep {difference}: {why}")
        )
        outcome.again(again_s)

    async def _is_somebody_elses(self, kind: Kind, wanted: Manifest) -> bool:
        metadata = wanted["metadata"]
        live = await self._api.find(kind, metadata["namespace"], metadata["name"])
        return live is not None and POOL_LABEL not in live["metadata"].get("labels", {})

    def _note_conflict(self, kind: Kind, name: str, why: str, outcome: Outcome) -> None:
        outcome.troubles.append(("FieldConflict", f"{kind.name} {name} exists and is not ours: {why}"))
        outcome.again(60.0)

    async def _prune(self, pool: Pool, desired: Desired, outcome: Outcome, kinds: Collection[Kind]) -> None:
        key = (pool.namespace, pool.name)
        wanted = {(one["kind"], one["metadata"]["name"]) for one in desired.objects}
        kept = self._kept_revisions(pool, key)
        for kind, seen in self._children.of(key):
            if kind not in kinds or (kind.name, seen.name) in wanted:
                continue
            if kind is CONTROLLER_REVISION and seen.name in kept:
                continue
            if kind is CLAIM_TEMPLATE and self._may_make_pods(key, seen.name):
                continue
            if kind is SERVICE_ACCOUNT:  # not ours to delete by the chart's roles; it goes with the pool
                continue
            body = seen.body
            owners = {owner["uid"] for owner in body["metadata"].get("ownerReferences", ())}
            if pool.uid in owners and "deletionTimestamp" not in body["metadata"]:
                await self._delete(kind, seen, outcome)

    def _may_make_pods(self, key: PoolKey, claim_template: str) -> bool:
        """Whether the Deployment has it, or is still replacing pods that may."""
        deployment = self._children.cache(DEPLOYMENT.name).find(key, key[1])
        if deployment is None:
            return False
        body = deployment.body
        counts, claims = counts_of(body), body["spec"]["template"]["spec"].get("resourceClaims", ())
        has_rolled = counts.is_current and counts.replicas == counts.updated
        return not has_rolled or any(claim_template in claim.values() for claim in claims)

    async def _delete(self, kind: Kind, seen: Seen, outcome: Outcome) -> None:
        try:
            await self._api.delete(kind, seen.namespace, seen.name, uid=seen.uid)
        except ApiError as error:
            self._note_failure(kind, seen.name, error, outcome)
        else:
            self._children.cache(kind.name).remove(seen.body, is_ours=True)
            outcome.num_writes += 1

    def _kept_revisions(self, pool: Pool, key: PoolKey) -> set[str]:
        """The newest past ones."""
        revisions = self._children.cache(CONTROLLER_REVISION.name).of(key)
        newest = sorted(revisions, key=lambda seen: -int(seen.body["revision"]))
        return {seen.name for seen in newest[: pool.spec.rollout.revision_history + 1]}

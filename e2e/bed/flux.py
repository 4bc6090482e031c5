"""Flux in the cluster: the controllers that fetch from Git, apply what they fetched, and install charts."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bed.addon import load_programs, module_files
from bed.installation import remove
from cluster.addon_families import HELM_CONTROLLER, KUSTOMIZE_CONTROLLER, SOURCE_CONTROLLER
from cluster.errors import ClusterError
from cluster.node.single_node import SingleNode

NAMESPACE = "flux-system"
FAMILIES = (SOURCE_CONTROLLER, KUSTOMIZE_CONTROLLER, HELM_CONTROLLER)
SOURCES = "gitrepositories.source.toolkit.fluxcd.io"
KUSTOMIZATIONS = "kustomizations.kustomize.toolkit.fluxcd.io"
RELEASES = "helmreleases.helm.toolkit.fluxcd.io"
TEAM = "llm"
_POLL_S = 0.2
_LOOKS, _LOOK_TAKES_S = 3, 4.0


@contextmanager
def flux(cluster: SingleNode) -> Iterator[None]:
    """Flux, ready, as long as the `with` lasts; what it has applied is not taken away with it."""
    manifests = Path(__file__).with_suffix(".yaml").read_text()
    definitions = [module_files(family, "config/crd/bases") for family in FAMILIES]
    for family in FAMILIES:
        for program, image in load_programs(cluster, family).items():
            manifests = manifests.replace(f"IMAGE_{program.replace('-', '_').upper()}", image)
    try:
        for folder in definitions:
            cluster.kubectl("apply", "--server-side", "-f", str(folder))
        cluster.kubectl("apply", "--server-side", "-f", "-", stdin=manifests)
        for family in FAMILIES:
            name = f"deployment/{family.name}"
            cluster.kubectl("-n", NAMESPACE, "rollout", "status", name, "--timeout=120s")
        yield
    finally:
        # The controllers let go of their objects themselves; without them these would stay for ever.
        patch = ("patch", KUSTOMIZATIONS, "--type=merge", "-p")
        for each in _names(cluster):
            cluster.run("kubectl", "-n", NAMESPACE, *patch, '{"spec": {"prune": false}}', each)
        for kind in (KUSTOMIZATIONS, RELEASES, SOURCES):
            cluster.run("kubectl", "-n", NAMESPACE, "delete", kind, "--all", "--timeout=60s")
        cluster.kubectl("delete", "--ignore-not-found", "--wait=false", "-f", "-", stdin=manifests)
        for folder in definitions:
            cluster.kubectl("delete", "--ignore-not-found", "--wait=false", "-f", str(folder))
        cluster.kubectl("wait", f"namespace/{NAMESPACE}", "--for=delete", "--timeout=120s")


@contextmanager
def flux_for_a_team(cluster: SingleNode) -> Iterator[SingleNode]:
    """Flux in a cluster without us, and the namespace that the examples' pools go to; all gone afterwards."""
    remove(cluster)
    with flux(cluster):
        cluster.kubectl("create", "namespace", TEAM)
        try:
            yield cluster
        finally:
            cluster.run("kubectl", "delete", "llmsp", "--all", "-n", TEAM)
            cluster.kubectl("delete", "pods", "--all", "-n", TEAM, "--grace-period=0", "--force")
            cluster.kubectl("delete", "namespace", TEAM, "--timeout=120s")
    remove(cluster)


def look_again(cluster: SingleNode, kind: str, *names: str) -> int:
    """Have Flux look several times at what has not changed; returns how often."""
    for _ in range(_LOOKS):
        for name in names:
            reconcile(cluster, kind, name)
        time.sleep(_LOOK_TAKES_S)
    return _LOOKS


def reconcile(cluster: SingleNode, kind: str, name: str, *, force: bool = False) -> None:
    """Ask for a look at once, as `flux reconcile` (`--force`) and a webhook of the Git server do."""
    now = time.time()
    asked = [f"reconcile.fluxcd.io/{what}={now}" for what in ("requestedAt", *(["forceAt"] if force else []))]
    cluster.kubectl("-n", NAMESPACE, "annotate", "--overwrite", kind, name, *asked)


def ready(cluster: SingleNode, kind: str, name: str) -> dict[str, str]:
    """The object's condition Ready, for the spec as it is now; empty where there is none yet."""
    document: dict[str, Any] = cluster.get("-n", NAMESPACE, kind, name)
    conditions: list[dict[str, Any]] = document.get("status", {}).get("conditions", [])
    told = next((each for each in conditions if each["type"] == "Ready"), {})
    # The condition's own: a release that failed keeps the status' observedGeneration of the last success.
    return told if told.get("observedGeneration") == document["metadata"]["generation"] else {}


def wait_until(
    cluster: SingleNode, kind: str, name: str, status: str, timeout_s: float = 120.0
) -> dict[str, str]:
    """Wait until an object's Ready is `status` for the spec as it is now; returns the condition.

    Raises:
        ClusterError: not in time; the message holds the latest condition.
    """
    ends_at = time.monotonic() + timeout_s
    while (told := ready(cluster, kind, name)).get("status") != status:
        if time.monotonic() > ends_at:
            raise ClusterError(f"{kind} {name}: Ready is not {status}: {told}")
        time.sleep(_POLL_S)
    return told


def wait_ready(
    cluster: SingleNode, name: str, revision: str, status: str = "True", timeout_s: float = 180.0
) -> dict[str, str]:
    """Wait until a Kustomization's Ready is `status` for a commit; returns the condition.

    Raises:
        ClusterError: not in time; the message holds the conditions.
    """
    ends_at = time.monotonic() + timeout_s
    while True:
        found = cluster.get("-n", NAMESPACE, KUSTOMIZATIONS, name).get("status", {})
        tried = found.get("lastAttemptedRevision", "")
        conditions = {each["type"]: each for each in found.get("conditions", ())}
        told: dict[str, str] = conditions.get("Ready", {})
        if tried.endswith(revision) and told.get("status") == status:
            return told
        if time.monotonic() > ends_at:
            raise ClusterError(
                f"Kustomization {name}: Ready is not {status} for {revision}\n{json.dumps(found, indent=1)}"
            )
        time.sleep(_POLL_S)


def _names(cluster: SingleNode) -> list[str]:
    done = cluster.run("kubectl", "-n", NAMESPACE, "get", KUSTOMIZATIONS, "-o", "name")
    return [line.rpartition("/")[2] for line in done.stdout.split()]

"""`PodView`: what matters of a pod, and why it is not ready. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sagesched_operator.names import DELETION_COST, POOL_LABEL, SETTINGS_DIGEST

_PULLING = ("ImagePullBackOff", "ErrImagePull", "ErrImageNeverPull", "InvalidImageName")
_BRINGING = ("fetch-model", "copy-model", "fetch-predictor", "copy-predictor")
_VERIFYING = ("verify-model", "verify-predictor")
_MOST_SAID = 400


@dataclass(frozen=True, slots=True, kw_only=True)
class PodView:
    """One pod.

    Attributes:
        name, uid: of its metadata.
        ip: where its gateway is; empty until that was started, and once the pod is over.
        is_ready: all containers that have a readiness probe pass it.
        is_ending: being deleted, or over: evicted pods stay as objects.
        settings_digest: last given as annotation to hasten kubelet.
        deletion_cost: annotation; empty where there is none.
        reason, message: why it is not ready, in the words of conditions; empty where it is.
    """

    name: str
    uid: str
    ip: str
    is_ready: bool
    is_ending: bool
    settings_digest: str = ""
    deletion_cost: str = ""
    reason: str = ""
    message: str = ""


def trim(body: dict[str, Any]) -> Mapping[str, Any]:
    """What is kept of a pod in memory."""
    metadata, status = body["metadata"], body.get("status", {})
    wanted = ("name", "namespace", "uid", "resourceVersion", "deletionTimestamp")
    read = {"labels": (POOL_LABEL,), "annotations": (SETTINGS_DIGEST, DELETION_COST)}
    return {
        "metadata": {name: metadata[name] for name in wanted if name in metadata}
        | {
            part: {name: value for name, value in metadata.get(part, {}).items() if name in names}
            for part, names in read.items()
        },
        "status": {
            name: status[name]
            for name in ("phase", "podIP", "conditions", "containerStatuses", "initContainerStatuses")
            if name in status
        },
    }


def view(body: Mapping[str, Any]) -> PodView:
    """A pod as the operator sees it."""
    metadata, status = body["metadata"], body.get("status", {})
    annotations = metadata.get("annotations", {})
    conditions = {condition["type"]: condition for condition in status.get("conditions", ())}
    is_ready = conditions.get("Ready", {}).get("status") == "True"
    is_over = status.get("phase") in ("Failed", "Succeeded")
    reason, message = ("", "") if is_ready else _why(metadata["name"], conditions, status)
    return PodView(
        name=metadata["name"],
        uid=metadata["uid"],
        ip="" if is_over or not _has_gateway(status) else status.get("podIP", ""),
        is_ready=is_ready,
        is_ending="deletionTimestamp" in metadata or is_over,
        settings_digest=annotations.get(SETTINGS_DIGEST, ""),
        deletion_cost=annotations.get(DELETION_COST, ""),
        reason=reason,
        message=message,
    )


def _has_gateway(status: Mapping[str, Any]) -> bool:
    """Whether the gateway was started: a pod has its address long before, while its model is fetched."""
    for container in status.get("initContainerStatuses", ()):
        if container["name"] == "gateway":
            return "running" in container.get("state", {}) or container.get("restartCount", 0) > 0
    return True


def _why(
    name: str, conditions: Mapping[str, Mapping[str, Any]], status: Mapping[str, Any]
) -> tuple[str, str]:
    scheduled = conditions.get("PodScheduled", {})
    if scheduled.get("status") == "False":
        told = scheduled.get("message", "")
        what = "waiting for a GPU" if "gpu" in told.lower() else "no node can take a pod"
        return "WaitingForNode", f"{what}: {told}".rstrip(": ")
    for container in [*status.get("initContainerStatuses", ()), *status.get("containerStatuses", ())]:
        found = _trouble(container)
        if found:
            return found
    if conditions.get("PodReadyToStartContainers", {}).get("status") == "False":
        # A claim, Secret or ConfigMap that is not there is told nowhere but in the pod's events.
        return (
            "Starting",
            f"volumes or network are not there yet; if so for long: kubectl describe pod {name}",
        )
    return _step(status.get("initContainerStatuses", ()))


def _trouble(container: Mapping[str, Any]) -> tuple[str, str] | None:
    name = container["name"]
    waiting = container.get("state", {}).get("waiting", {})
    if waiting.get("reason") in _PULLING:
        return (
            "ImagePullFailed",
            f"image {container.get('image', '')} of {name} cannot be pulled: {waiting['reason']}",
        )
    if waiting.get("reason") in ("CreateContainerConfigError", "CreateContainerError", "RunContainerError"):
        return "ContainerCrashing", f"container {name} cannot be started: {waiting.get('message', '')}"
    ended = container.get("lastState", {}).get("terminated") or container.get("state", {}).get("terminated")
    if not ended or not ended.get("exitCode") or container.get("ready"):
        return None
    how = f"container {name} ended with {ended.get('reason', 'Error')}, exit code {ended['exitCode']}"
    said = _last_line(ended.get("message", ""))
    if name in _VERIFYING:
        return "DigestMismatch", said or how
    if name in _BRINGING:
        return "ModelFetchFailed", f"{how}: {said or 'is it where the source says?'}"
    return "ContainerCrashing", f"{how}: {said}" if said else how


def _last_line(text: str) -> str:
    """Of a termination message: where programs say why they ended."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][-_MOST_SAID:] if lines else ""


def _step(initializing: Iterable[Mapping[str, Any]]) -> tuple[str, str]:
    for container in initializing:
        if container["name"] in (*_BRINGING, *_VERIFYING) and "running" in container.get("state", {}):
            return "Starting", f"bringing files ({container['name']})"
    return "Starting", "pods are starting"

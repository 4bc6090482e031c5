"""The gateway: a native sidecar, started before Triton and ended after it.

Its probes never kill a queue: there is no liveness probe; readiness only takes the pod out of the Service.
"""

from __future__ import annotations

from typing import Any

from sagesched_operator.api.pool import Pool
from sagesched_operator.build.gpu import gateway_env, gateway_resources
from sagesched_operator.build.images import gateway_image
from sagesched_operator.build.paths import DRAINED, GRPC, HTTP, METRICS, SETTINGS, SETTINGS_FILE
from sagesched_operator.build.security import restricted
from sagesched_operator.build.shutdown import SETTLE_S, hook_seconds, parting_seconds
from sagesched_operator.build.surroundings import Installation
from sagesched_operator.build.volumes import (
    certificates_mount,
    history_mount,
    predictor_mount,
    run_mount,
    settings_mount,
    source_mount,
    tmp_mount,
)

_START_S = 60


def gateway_container(pool: Pool, installation: Installation, sharing: str) -> dict[str, Any]:
    """The container.

    Args:
        pool: whose.
        installation: images.
        sharing: see `gpu.sharing_of`.
    """
    mounts = [settings_mount(), run_mount(writable=True), tmp_mount("gateway")]
    if pool.spec.model.tokenizer is not None:
        mounts.append(source_mount(pool))
    if pool.spec.gateway.tls is not None:
        mounts.append(certificates_mount())
    predictor = pool.spec.predictor
    if predictor.mode != "None":
        mounts.append(history_mount())
    if predictor.artifact is not None:
        mounts.append(predictor_mount(predictor.artifact.source))
    drain = ["sagesched-gateway", "drain", "--drained-file", DRAINED]
    container: dict[str, Any] = {
        "name": "gateway",
        "image": gateway_image(pool, installation),
        "restartPolicy": "Always",
        "command": ["sagesched-gateway", "serve"],
        "args": [
            *("--config", f"{SETTINGS}/{SETTINGS_FILE}"),
            *("--drained-file", DRAINED),
            *("--settle-seconds", str(SETTLE_S)),
            *("--parting-seconds", str(parting_seconds(pool))),
        ],
        "ports": [
            {"name": name, "containerPort": port, "protocol": "TCP"}
            for name, port in (("grpc", GRPC), ("http", HTTP), ("metrics", METRICS))
        ],
        "startupProbe": {**_get("/healthz"), "periodSeconds": 1, "failureThreshold": _START_S},
        "readinessProbe": {**_get("/readyz"), "periodSeconds": 2, "failureThreshold": 2},
        "lifecycle": {"preStop": {"exec": {"command": [*drain, "--timeout", str(hook_seconds(pool))]}}},
        "resources": gateway_resources(pool, sharing),
        "securityContext": restricted(),
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": mounts,
    }
    env = gateway_env(sharing)
    if env:
        container["env"] = env
    return container


def _get(path: str) -> dict[str, Any]:
    return {"httpGet": {"path": path, "port": "metrics", "scheme": "HTTP"}, "timeoutSeconds": 2}

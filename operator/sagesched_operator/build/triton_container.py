"""Triton, on loopback: nobody reaches it but the gateway, and so its probes are commands in its container."""

from __future__ import annotations

from typing import Any

from sagesched_operator.api.pool import Pool
from sagesched_operator.build.gpu import triton_resources
from sagesched_operator.build.paths import (
    DRAINED,
    MODELS,
    TRITON_GRPC,
    TRITON_HTTP,
    TRITON_METRICS,
)
from sagesched_operator.build.security import triton_security
from sagesched_operator.build.shutdown import TRITON_EXIT_S, hook_seconds
from sagesched_operator.build.volumes import models_mount, run_mount, shm_mount, source_mount, tmp_mount

LOAD_S = 3600
"""Engines of many GPUs take long to load; until then there is nothing to kill."""

_HUNG_S = TRITON_EXIT_S + 5
"""A Triton that a probe gave up is not drained, and its hook would wait for that in vain."""

# bash opens sockets by itself, so that no image needs curl.
_ASK = (
    f"exec 3<>/dev/tcp/127.0.0.1/{TRITON_HTTP} && printf 'GET %s HTTP/1.0\\r\\n\\r\\n' \"$0\" >&3 && "
    'read -r _ code _ <&3 && [ "$code" = 200 ]'
)
_AWAIT_DRAIN = f'for _ in $(seq "$0"); do [ -e {DRAINED} ] && exit 0; sleep 1; done'


def triton_container(pool: Pool, sharing: str) -> dict[str, Any]:
    """The container; `sharing`: see `gpu.sharing_of`."""
    runtime = pool.spec.runtime
    container: dict[str, Any] = {
        "name": "triton",
        "image": runtime.image,
        "command": ["trtllm-llmapi-launch", "tritonserver"]
        if runtime.profile == "llmapi"
        else ["tritonserver"],
        "args": [*_arguments(), *runtime.args],
        "startupProbe": {
            **_probe("/v2/health/ready"),
            "periodSeconds": 5,
            "failureThreshold": LOAD_S // 5,
            "terminationGracePeriodSeconds": _HUNG_S,
        },
        "livenessProbe": {
            **_probe("/v2/health/live"),
            "periodSeconds": 10,
            "failureThreshold": 6,
            "terminationGracePeriodSeconds": _HUNG_S,
        },
        "lifecycle": {
            "preStop": {"exec": {"command": ["bash", "-c", _AWAIT_DRAIN, str(hook_seconds(pool))]}}
        },
        "resources": triton_resources(pool, sharing),
        "securityContext": triton_security(pool),
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [
            source_mount(pool),
            models_mount(),
            run_mount(),
            tmp_mount("triton"),
            shm_mount(),
            *[dict(mount) for mount in pool.spec.pod_template.volume_mounts],
        ],
    }
    env = [dict(variable) for variable in runtime.env]
    if all(variable["name"] != "HOME" for variable in env):
        env.append({"name": "HOME", "value": "/tmp"})  # libraries keep caches there; the root is read-only
    return {**container, "env": env}


def _arguments() -> list[str]:
    return [
        f"--model-repository={MODELS}",
        "--http-address=127.0.0.1",
        f"--http-port={TRITON_HTTP}",
        "--grpc-address=127.0.0.1",
        f"--grpc-port={TRITON_GRPC}",
        "--metrics-address=127.0.0.1",
        f"--metrics-port={TRITON_METRICS}",
        f"--exit-timeout-secs={TRITON_EXIT_S}",
    ]


def _probe(path: str) -> dict[str, Any]:
    return {"exec": {"command": ["bash", "-c", _ASK, path]}, "timeoutSeconds": 5}

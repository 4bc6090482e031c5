"""The pod template: Triton with the gateway in front."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sagesched_gateway.settings.config import GatewayConfig
from sagesched_operator.api.pool import Pool
from sagesched_operator.build.gateway_container import gateway_container
from sagesched_operator.build.gpu import pod_claims
from sagesched_operator.build.init_containers import init_containers
from sagesched_operator.build.security import pod_security
from sagesched_operator.build.service_account import service_account_name
from sagesched_operator.build.settings import restart_hash
from sagesched_operator.build.shutdown import grace_seconds
from sagesched_operator.build.surroundings import Installation
from sagesched_operator.build.triton_container import triton_container
from sagesched_operator.build.volumes import volumes
from sagesched_operator.names import SETTINGS_HASH, labels_of, selector_of


def pod_template(
    pool: Pool, settings: GatewayConfig, installation: Installation, sharing: str
) -> dict[str, Any]:
    """The template; what a running gateway takes over by itself has no trace in it.

    Args:
        pool: whose.
        settings: of its gateways.
        installation: images.
        sharing: see `gpu.sharing_of`.
    """
    overlay = pool.spec.pod_template
    annotations = {**overlay.annotations, SETTINGS_HASH: restart_hash(settings)}
    sidecar = gateway_container(pool, installation, sharing)
    return {
        "metadata": {"labels": {**overlay.labels, **labels_of(pool)}, "annotations": annotations},
        "spec": {
            "serviceAccountName": service_account_name(pool),
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "terminationGracePeriodSeconds": grace_seconds(pool),
            "securityContext": pod_security(pool),
            "initContainers": [*init_containers(pool, installation), sidecar],
            "containers": [triton_container(pool, sharing)],
            "volumes": volumes(pool),
            **pod_claims(pool, sharing),
            **_placement(pool),
        },
    }


def _placement(pool: Pool) -> dict[str, Any]:
    overlay = pool.spec.pod_template
    spread = overlay.topology_spread_constraints or (
        {"topologyKey": "kubernetes.io/hostname", "maxSkew": 1, "whenUnsatisfiable": "ScheduleAnyway"},
    )
    selector = {"labelSelector": {"matchLabels": selector_of(pool)}}
    parts: Mapping[str, Any] = {
        "nodeSelector": dict(overlay.node_selector),
        "tolerations": [dict(toleration) for toleration in overlay.tolerations],
        "affinity": dict(overlay.affinity),
        "topologySpreadConstraints": [{**constraint, **selector} for constraint in spread],
        "priorityClassName": overlay.priority_class_name,
        "runtimeClassName": overlay.runtime_class_name,
        "imagePullSecrets": [{"name": name} for name in sorted(overlay.image_pull_secrets)],
    }
    return {name: part for name, part in parts.items() if part}

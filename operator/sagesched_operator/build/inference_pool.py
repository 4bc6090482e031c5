"""InferencePool: the pods as a backend of the Gateway API, chosen among by an endpoint picker."""

from __future__ import annotations

from sagesched_operator.api.pool import Pool
from sagesched_operator.api.surroundings import InferencePoolSpec
from sagesched_operator.build.manifest import Manifest, manifest
from sagesched_operator.build.paths import GRPC
from sagesched_operator.names import selector_of


def inference_pool(pool: Pool, wanted: InferencePoolSpec) -> Manifest:
    """The object."""
    picker = wanted.endpoint_picker
    spec = {
        "selector": {"matchLabels": selector_of(pool)},
        "targetPorts": [{"number": GRPC}],
        "appProtocol": "kubernetes.io/h2c",
        "endpointPickerRef": {
            "group": "",
            "kind": "Service",
            "name": picker.name,
            "port": {"number": picker.port},
            "failureMode": picker.failure_mode,
        },
    }
    return manifest(pool, "inference.networking.k8s.io/v1", "InferencePool", pool.name, {"spec": spec})

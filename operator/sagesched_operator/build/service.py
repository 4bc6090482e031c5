"""Service: where clients find the gateways. Triton itself is never behind it."""

from __future__ import annotations

from sagesched_operator.api.pool import Pool
from sagesched_operator.build.manifest import Manifest, manifest
from sagesched_operator.build.paths import GRPC, HTTP
from sagesched_operator.names import selector_of


def service(pool: Pool) -> Manifest:
    """The object."""
    has_tls = pool.spec.gateway.tls is not None
    over_grpc, over_http = ("https", "https") if has_tls else ("kubernetes.io/h2c", "http")
    ports = [
        {
            "name": name,
            "port": port,
            "targetPort": name,
            "protocol": "TCP",
            "appProtocol": protocol,
        }
        for name, port, protocol in (("grpc", GRPC, over_grpc), ("http", HTTP, over_http))
    ]
    spec = {"type": pool.spec.expose.service_type, "selector": selector_of(pool), "ports": ports}
    return manifest(
        pool, "v1", "Service", pool.name, {"spec": spec}, annotations=pool.spec.expose.service_annotations
    )


def address_of(pool: Pool) -> str:
    """Where clients inside the cluster find the pool, gRPC."""
    return f"{pool.name}.{pool.namespace}.svc:{GRPC}"

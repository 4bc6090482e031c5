"""Where Triton listens."""

from __future__ import annotations

from dataclasses import dataclass

from sagesched_gateway.settings.section import Section


@dataclass(frozen=True, slots=True, kw_only=True)
class TritonConfig:
    """Addresses of the Triton server behind the gateway, `host:port`.

    Attributes:
        grpc: KServe v2 over gRPC; every generation goes there.
        http: KServe v2 over HTTP; what is passed through goes there.
        metrics: Prometheus text: the engine's gauges, and what `/metrics` appends to its own.
    """

    grpc: str = "127.0.0.1:18001"
    http: str = "127.0.0.1:18000"
    metrics: str = "127.0.0.1:18002"


def read(section: Section) -> TritonConfig:
    """Read `triton`."""
    default = TritonConfig()
    return TritonConfig(
        grpc=section.address("grpc", default.grpc),
        http=section.address("http", default.http),
        metrics=section.address("metrics", default.metrics),
    )

"""Where the gateway listens."""

from __future__ import annotations

from dataclasses import dataclass, field

from sagesched_gateway.settings.section import Section, key_of


@dataclass(frozen=True, slots=True, kw_only=True)
class ListenConfig:
    """Addresses the gateway serves, `host:port`; port 0 takes a free one, printed at start-up.

    Attributes:
        grpc: KServe v2 over gRPC.
        http: KServe v2 over HTTP with Triton's generate extension.
        metrics: `/metrics`, `/status`, `/healthz`, `/readyz`.
        connection_age_s: connections are told to reconnect after this time, +-10 %, so that clients find new
            replicas; what runs on them is finished within `drain.maxSeconds`. 0 for never.
    """

    grpc: str = "0.0.0.0:8001"
    http: str = "0.0.0.0:8000"
    metrics: str = "0.0.0.0:8002"
    connection_age_s: float = field(default=600.0, metadata=key_of("connectionAgeSeconds"))


def read(section: Section) -> ListenConfig:
    """Read `listen`."""
    default = ListenConfig()
    return ListenConfig(
        grpc=section.address("grpc", default.grpc, lowest_port=0),
        http=section.address("http", default.http, lowest_port=0),
        metrics=section.address("metrics", default.metrics, lowest_port=0),
        connection_age_s=section.number("connectionAgeSeconds", default.connection_age_s, least=0.0),
    )

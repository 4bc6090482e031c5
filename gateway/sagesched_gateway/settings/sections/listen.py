"""Where the gateway listens."""

from __future__ import annotations

from dataclasses import dataclass, field

from sagesched_gateway.settings.section import Section, key_of


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsConfig:
    """TLS for callers, gRPC and HTTP; `metrics` stays plain for probes, operator and Prometheus.

    Attributes:
        folder: holds `tls.crt` (the chain, own certificate first) and `tls.key`, as a Secret of type
            `kubernetes.io/tls` is mounted; followed while running. None serves without TLS.
        require_client_certificates: take only callers who show a certificate issued by one in `ca.crt`.
    """

    folder: str | None = None
    require_client_certificates: bool = field(default=False, metadata=key_of("requireClientCertificates"))


@dataclass(frozen=True, slots=True, kw_only=True)
class ListenConfig:
    """Addresses the gateway serves, `host:port`; port 0 takes a free one, printed at start-up.

    Attributes:
        grpc: KServe v2 over gRPC.
        http: KServe v2 over HTTP with Triton's generate extension.
        metrics: `/metrics`, `/status`, `/healthz`, `/readyz`.
        connection_age_s: connections are told to reconnect after this time, +-10 %, so that clients find new
            replicas; what runs on them is finished. 0 for never.
    """

    grpc: str = "0.0.0.0:8001"
    http: str = "0.0.0.0:8000"
    metrics: str = "0.0.0.0:8002"
    connection_age_s: float = field(default=60.0, metadata=key_of("connectionAgeSeconds"))
    tls: TlsConfig = field(default_factory=TlsConfig)


def read(section: Section) -> ListenConfig:
    """Read `listen`."""
    default = ListenConfig()
    return ListenConfig(
        grpc=section.address("grpc", default.grpc, lowest_port=0),
        http=section.address("http", default.http, lowest_port=0),
        metrics=section.address("metrics", default.metrics, lowest_port=0),
        connection_age_s=section.number("connectionAgeSeconds", default.connection_age_s, least=0.0),
        tls=_tls(section.section("tls", TlsConfig)),
    )


def _tls(section: Section) -> TlsConfig:
    tls = TlsConfig(
        folder=section.path_of("folder"),
        require_client_certificates=section.flag("requireClientCertificates", False),
    )
    if tls.require_client_certificates and tls.folder is None:
        section.refuse("requireClientCertificates", "needs certificates of its own: name their folder")
    return tls

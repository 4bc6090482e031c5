"""Traces of requests."""

from __future__ import annotations

from dataclasses import dataclass, field

from sagesched_gateway.settings.section import Section, key_of

SCHEMES = ("http://", "https://")


@dataclass(frozen=True, slots=True, kw_only=True)
class TracesConfig:
    """Traces of requests, sent to an OpenTelemetry collector. They hold no prompts and no answers.

    Attributes:
        endpoint: the collector's OTLP port over gRPC, `http://host:4317`, or `https://` for TLS by the
            system's authorities; None sends none.
        sample_ratio: share of requests that are traced, 0..1; where a caller sends `traceparent`, its own
            decision counts.
        resource: attributes that all spans of this gateway have.
    """

    endpoint: str | None = None
    sample_ratio: float = field(default=0.1, metadata=key_of("sampleRatio"))
    resource: tuple[tuple[str, str], ...] = field(default=(), metadata={"mapping": "yes"})


def read(section: Section) -> TracesConfig:
    """Read `traces`."""
    endpoint = section.name_of("endpoint")
    if endpoint is not None and not _is_endpoint(endpoint):
        section.refuse("endpoint", f"must be http://host:port or https://host:port, not {endpoint!r:.80}")
    return TracesConfig(
        endpoint=endpoint,
        sample_ratio=section.number("sampleRatio", TracesConfig().sample_ratio, least=0.0, most=1.0),
        resource=section.texts_by_name("resource"),
    )


def _is_endpoint(text: str) -> bool:
    scheme = next((scheme for scheme in SCHEMES if text.startswith(scheme)), None)
    if scheme is None:
        return False
    host, _, port = text.removeprefix(scheme).rpartition(":")
    is_port = port.isascii() and port.isdigit() and len(port) < 6 and 1 <= int(port) <= 65535
    return bool(host) and is_port and not set(host) & set("/ ?#@")

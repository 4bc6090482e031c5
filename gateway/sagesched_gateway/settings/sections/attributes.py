"""Whose tenant, priority and deadline are believed."""

from __future__ import annotations

from dataclasses import dataclass, field

from sagesched_gateway.settings.section import Section, key_of


@dataclass(frozen=True, slots=True, kw_only=True)
class AttributesConfig:
    """Tenant, priority and deadline that come with a request (`x-sagesched-...`).

    Attributes:
        trusted_networks: networks in CIDR notation; attributes of callers from elsewhere are ignored.
        expose_prediction: give the predicted quantiles of the answer's length to trusted callers.
    """

    trusted_networks: tuple[str, ...] = field(default=(), metadata=key_of("trustedNetworks"))
    expose_prediction: bool = field(default=False, metadata=key_of("exposePrediction"))


def read(section: Section) -> AttributesConfig:
    """Read `attributes`."""
    return AttributesConfig(
        trusted_networks=section.networks("trustedNetworks"),
        expose_prediction=section.flag("exposePrediction", False),
    )

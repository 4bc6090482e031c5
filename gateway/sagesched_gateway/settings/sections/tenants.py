"""Shares of tenants."""

from __future__ import annotations

from dataclasses import dataclass, field

from sagesched_gateway.settings.section import Section, key_of


@dataclass(frozen=True, slots=True, kw_only=True)
class TenantsConfig:
    """Shares of tenants, who are told by the attribute of that name.

    Attributes:
        enabled: give each tenant its share, and serve higher priorities first; off, names and priorities
            count for nothing but `limits.sheddableBelow`.
        weights: tenant -> its share relative to the others', above 0.
        default_weight: share of a tenant that is not named, above 0.
    """

    enabled: bool = False
    weights: tuple[tuple[str, float], ...] = field(default=(), metadata={"mapping": "yes"})
    default_weight: float = field(default=1.0, metadata=key_of("defaultWeight"))


def read(section: Section) -> TenantsConfig:
    """Read `tenants`."""
    default = TenantsConfig()
    return TenantsConfig(
        enabled=section.flag("enabled", default.enabled),
        weights=section.numbers_by_name("weights", above=0.0),
        default_weight=section.number("defaultWeight", default.default_weight, above=0.0),
    )

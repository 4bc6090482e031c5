"""Triton's management calls."""

from __future__ import annotations

from dataclasses import dataclass

from sagesched_gateway.settings.section import Section

ADMIN_GROUPS = ("model-repository", "shared-memory", "trace", "logging")
"""Groups of Triton's management calls; names as in Triton's own `--http-restricted-api`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AdminConfig:
    """Triton's management calls.

    Attributes:
        allow: groups (of `ADMIN_GROUPS`) that callers may use through the gateway; the others are refused.
    """

    allow: tuple[str, ...] = ()


def read(section: Section) -> AdminConfig:
    """Read `admin`."""
    return AdminConfig(allow=section.choices("allow", ADMIN_GROUPS, "group"))

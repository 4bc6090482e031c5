"""Which settings a running gateway takes over from a changed file, and which wait for its next start.

The gateway acts by it and the operator plans by it (a change that waits needs new pods), both through this
module; like `config.py` it imports nothing but the standard library.
"""

from __future__ import annotations

from dataclasses import fields, is_dataclass, replace
from typing import TypeVar

from sagesched_gateway.settings.config import GatewayConfig

RELOADABLE = frozenset(
    {
        "scheduling.policy",
        "scheduling.tailWeight",
        "scheduling.ageGuard",
        "scheduling.lowerQuantile",
        "scheduling.upperQuantile",
        "scheduling.evictFirst",
        "scheduling.maxEvictions",
        "deadlines.refuseBelow",
        "deadlines.dropBelow",
        "tenants.enabled",
        "tenants.weights",
        "tenants.defaultWeight",
        "limits.jsonDepth",
        "limits.queuedRequests",
        "limits.queuedBytes",
        "limits.queuedSeconds",
        "limits.sheddableBelow",
        "limits.fullCode",
        "limits.unreadBytes",
        "limits.slowReaderSeconds",
        "limits.idleStreamSeconds",
        "log.level",
        "traces.endpoint",
        "traces.sampleRatio",
        "traces.resource",
        "drain.maxSeconds",
        "drain.quantile",
    }
)
"""Dotted paths of the settings that take effect at once."""

_Section = TypeVar("_Section")


def take_reloadable(running: GatewayConfig, wanted: GatewayConfig) -> tuple[GatewayConfig, tuple[str, ...]]:
    """What to run with from now on, and the dotted paths of what is wanted but waits for a restart."""
    waiting: list[str] = []
    return _merged(running, wanted, "", waiting), tuple(waiting)


def _merged(running: _Section, wanted: _Section, path: str, waiting: list[str]) -> _Section:
    changes: dict[str, object] = {}
    for item in fields(running):  # type: ignore[arg-type]  # only called with the settings' dataclasses
        here = f"{path}{item.metadata.get('key', item.name)}"
        old, new = getattr(running, item.name), getattr(wanted, item.name)
        if is_dataclass(old):
            changes[item.name] = _merged(old, new, f"{here}.", waiting)
        elif here in RELOADABLE:
            changes[item.name] = new
        elif old != new:
            waiting.append(here)
    return replace(running, **changes)  # type: ignore[type-var]  # as above

"""Does an object hold what it should? Pure.

The server adds defaults and writes quantities its own way; so the question is whether everything that we want
is there with its value, not whether the two are equal. What we no longer want shows in the hash. Only where
something added changes what the object means, and applying takes it away again, may nothing be added: whom
selectors choose, and whom a network policy lets through.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from sagesched_operator.names import APPLIED_HASH
from sagesched_operator.quantities import amount_of

_LIST_KEYS = ("name", "mountPath", "containerPort", "port", "topologyKey", "uid", "number", "type")
"""By which entries of lists are told apart, the first that all entries have."""

_EXACT = frozenset({"selector", "matchLabels", "podSelector", "namespaceSelector"})
"""Mappings that the API server takes as one value."""

_RULE = re.compile(r"spec\.(ingress|egress)\[")
"""All in a rule of a NetworkPolicy, likewise: `namespaceSelector: {}` beside a `podSelector` lets all in."""

_EXACT_LISTS = re.compile(r"spec\.(ingress|egress)(\[\d+\]\.(from|to|ports))?")
"""Lists of a NetworkPolicy, likewise."""


def first_difference(wanted: Mapping[str, Any], live: Mapping[str, Any]) -> str:
    """The first field, as a dotted path, that is not as wanted; empty where all is."""
    if wanted["metadata"]["annotations"][APPLIED_HASH] != _hash(live):
        return f"metadata.annotations.{APPLIED_HASH}"
    # Entries of lists come without the words that the list itself has.
    content = {key: value for key, value in wanted.items() if key not in ("apiVersion", "kind")}
    return _difference(content, live, "")


def _hash(live: Mapping[str, Any]) -> str:
    return str(live["metadata"].get("annotations", {}).get(APPLIED_HASH, ""))


def _difference(wanted: Any, live: Any, path: str) -> str:
    if isinstance(wanted, Mapping):
        if not isinstance(live, Mapping):
            return "" if not wanted and live is None else path
        for key, value in wanted.items():
            found = _difference(value, live.get(key), f"{path}.{key}" if path else key)
            if found:
                return found
        is_exact = path.rpartition(".")[2] in _EXACT or _RULE.match(path)
        added = live.keys() - wanted.keys() if is_exact else ()
        return f"{path}.{min(added)}" if added else ""
    if isinstance(wanted, Sequence) and not isinstance(wanted, str):
        return _list_difference(wanted, live, path)
    if wanted == live or amount_of(wanted) == amount_of(live) is not None:
        return ""
    # The server leaves out what is empty, zero or false.
    return "" if live is None and not wanted else path


def _list_difference(wanted: Sequence[Any], live: Any, path: str) -> str:
    if not wanted and not live:
        return ""
    if not isinstance(live, list) or (_EXACT_LISTS.fullmatch(path) and len(wanted) != len(live)):
        return path
    key = next((key for key in _LIST_KEYS if all(_has(entry, key) for entry in wanted)), None)
    if key is None:
        if len(wanted) != len(live):
            return path
        pairs = list(zip(wanted, live, strict=True))
    else:
        by_key: dict[Any, list[Any]] = {}
        for entry in live:
            by_key.setdefault(entry.get(key) if isinstance(entry, Mapping) else None, []).append(entry)
        pairs = []
        for entry in wanted:
            same = by_key.get(entry[key]) or [None]
            pairs.append((entry, same.pop(0) if len(same) > 1 else same[0]))
    for index, (one, other) in enumerate(pairs):
        found = _difference(one, other, f"{path}[{one[key] if key else index}]")
        if found:
            return found
    return ""


def _has(entry: Any, key: str) -> bool:
    return isinstance(entry, Mapping) and key in entry

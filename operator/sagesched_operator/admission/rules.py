"""Rules across fields, in CEL, as they stand in the CustomResourceDefinition.

Evaluated by a CEL library, with values typed as the schema types them: to CEL 1 and 1.0 are different. A rule
that speaks of the resource's former state (`oldSelf`) has nothing to say about a file.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import cel

from sagesched_operator.admission.defaults import Schema
from sagesched_operator.admission.structural import kind_of


def broken_rules(value: Any, schema: Schema, path: str) -> Iterator[str]:
    """Messages of the rules that do not hold, with the path.

    Args:
        value: with defaults filled in, and right by its structure.
        schema: structural, with rules.
        path: of the value; empty for the whole resource.
    """
    for rule in schema.get("x-kubernetes-validations", ()):
        if "oldSelf" not in rule["rule"] and not _holds(rule["rule"], _typed(value, schema)):
            where = f"{path}: " if path else ""
            kind = schema.get("type") or kind_of(value)
            yield f'{where}Invalid value: "{kind}": {rule["message"]}'
    if isinstance(value, Mapping):
        known, others = schema.get("properties", {}), schema.get("additionalProperties", {})
        for key, item in value.items():
            yield from broken_rules(item, known.get(key, others), f"{path}.{key}" if path else str(key))
    elif isinstance(value, list):
        for place, item in enumerate(value):
            yield from broken_rules(item, schema.get("items", {}), f"{path}[{place}]")


def _holds(rule: str, value: Any) -> bool:
    return bool(cel.evaluate(rule, {"self": value}))


def _typed(value: Any, schema: Schema) -> Any:
    if isinstance(value, Mapping):
        known, others = schema.get("properties", {}), schema.get("additionalProperties", {})
        return {key: _typed(item, known.get(key, others)) for key, item in value.items()}
    if isinstance(value, list):
        return [_typed(item, schema.get("items", {})) for item in value]
    if schema.get("type") == "number":
        return float(value)
    if schema.get("type") == "integer":
        return int(value)
    return value

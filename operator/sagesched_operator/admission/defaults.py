"""A resource as the API server sees it: nulls dropped, defaults filled in, numbers of the schema's kind."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

Schema = Mapping[str, Any]


def filled_in(value: Any, schema: Schema) -> Any:
    """A copy of the value with what the API server fills in.

    Args:
        value: as written.
        schema: structural.
    """
    if isinstance(value, Mapping):
        return _mapping(value, schema)
    if isinstance(value, list | tuple):
        return [filled_in(item, schema.get("items", {})) for item in value]
    return value


def _mapping(value: Mapping[Any, Any], schema: Schema) -> dict[Any, Any]:
    known = schema.get("properties", {})
    others = schema.get("additionalProperties", {})
    result = {
        key: filled_in(item, known.get(key, others))
        for key, item in value.items()
        if item is not None or not (key in known or others)  # what is unknown stays, to be refused
    }
    for key, within in known.items():
        if key not in result and "default" in within:
            result[key] = filled_in(copy.deepcopy(within["default"]), within)
    return result

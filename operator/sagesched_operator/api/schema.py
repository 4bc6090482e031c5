"""Dataclass sections → OpenAPI schema of the CRD: types, bounds, defaults, rules."""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from typing import Any, Union, get_args, get_origin

from sagesched_operator.api.fields import Rule, is_required, key_of

_SCALARS = {str: "string", int: "integer", float: "number", bool: "boolean"}


def schema_of(section: type) -> dict[str, Any]:
    """The schema of a section with all beneath it."""
    hints = typing.get_type_hints(section)
    properties: dict[str, Any] = {}
    required = []
    for item in fields(section):
        properties[key_of(item)] = _property(item, hints[item.name])
        if is_required(item):
            required.append(key_of(item))
    schema: dict[str, Any] = {"type": "object", "properties": properties}
    if required:
        schema["required"] = required
    rules: tuple[Rule, ...] = getattr(section, "RULES", ())
    if rules:
        schema["x-kubernetes-validations"] = [{"rule": rule.cel, "message": rule.message} for rule in rules]
    return schema


def _property(item: Field[Any], hint: Any) -> dict[str, Any]:
    extras = {_openapi(name): value for name, value in item.metadata["schema"].items()}
    raw = extras.pop("raw", None)
    items = {_openapi(name): value for name, value in extras.pop("items", {}).items()}
    rules = extras.pop("rules", ())
    schema = {"description": item.metadata["doc"], **(raw if raw is not None else _typed(hint, items))}
    schema.update(extras)
    if rules:
        own = [{"rule": rule.cel, "message": rule.message} for rule in rules]
        schema["x-kubernetes-validations"] = [*schema.get("x-kubernetes-validations", []), *own]
    default = _default(item, hint)
    if default is not MISSING:
        schema["default"] = default
    return schema


def _openapi(name: str) -> str:
    if name.startswith("x_kubernetes"):
        return name.replace("_", "-")
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


def _typed(hint: Any, items: Mapping[str, Any]) -> dict[str, Any]:
    hint = without_none(hint)
    if hint in _SCALARS:
        return {"type": _SCALARS[hint]}
    if is_dataclass(hint) and isinstance(hint, type):
        return schema_of(hint)
    if get_origin(hint) is tuple:
        return {"type": "array", "items": {**_typed(get_args(hint)[0], {}), **items}}
    if get_origin(hint) is Mapping:
        return {"type": "object", "additionalProperties": {"type": "string", **items}}
    raise TypeError(f"no schema for {hint}")


def without_none(hint: Any) -> Any:
    """`T` of `T | None`."""
    if get_origin(hint) in (Union, types.UnionType):
        (hint,) = [part for part in get_args(hint) if part is not type(None)]
    return hint


def _default(item: Field[Any], hint: Any) -> Any:
    """What the API server fills in; rules are checked against it as it stands, so sections are in full."""
    if item.default is not MISSING:
        return item.default if item.default not in (None, ()) else MISSING
    if item.default_factory is MISSING:
        return MISSING
    section = without_none(hint)
    if is_dataclass(section) and isinstance(section, type):
        return _defaults_of(section)
    return item.default_factory() or MISSING


def _defaults_of(section: type) -> dict[str, Any]:
    hints = typing.get_type_hints(section)
    defaults = {key_of(item): _default(item, hints[item.name]) for item in fields(section)}
    return {key: value for key, value in defaults.items() if value is not MISSING}

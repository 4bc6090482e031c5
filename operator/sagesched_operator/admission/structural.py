"""Types, bounds, required and unknown fields, entries given twice: what a structural schema says.

In the words of the API server, so that what is read here and there is the same.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from sagesched_operator.admission.defaults import Schema

_TYPES: Mapping[str, type | tuple[type, ...]] = {
    "object": Mapping,
    "array": list,
    "string": str,
    "boolean": bool,
    "integer": int,
    "number": (int, float),
}


class Complaint(NamedTuple):
    """What is wrong.

    Attributes:
        text: with the path.
        blocks: rules are not looked at as well: they may rely on what is wrong.
    """

    text: str
    blocks: bool = True


def complaints(value: Any, schema: Schema, path: str) -> Iterator[Complaint]:
    """What is wrong with the value.

    Args:
        value: with defaults filled in.
        schema: structural.
        path: of the value; empty for the whole resource.
    """
    wanted = schema.get("type")
    if schema.get("x-kubernetes-int-or-string"):
        wanted = "integer" if isinstance(value, int) else "string"
    if wanted is not None and not _is(value, wanted):
        kind = _kind_of(value)
        yield Complaint(f'{path}: Invalid value: "{kind}": {path} in body must be of type {wanted}: "{kind}"')
        return
    yield from _bounds(value, schema, path)
    if isinstance(value, Mapping):
        yield from _fields(value, schema, path)
    elif isinstance(value, list):
        yield from _entries(value, schema, path)


def kind_of(value: Any) -> str:
    """As the API server names it in complaints about rules."""
    return _kind_of(value)


def _is(value: Any, wanted: str) -> bool:
    if isinstance(value, bool):
        return wanted == "boolean"
    if wanted == "integer" and isinstance(value, float):
        return value.is_integer()
    return isinstance(value, _TYPES[wanted])


def _kind_of(value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    names = {"integer": int, "number": float, "string": str, "array": list}
    return next((name for name, kind in names.items() if isinstance(value, kind)), "object")


def _bounds(value: Any, schema: Schema, path: str) -> Iterator[Complaint]:
    if "enum" in schema and value not in schema["enum"]:
        supported = ", ".join(json.dumps(word) for word in schema["enum"])
        yield Complaint(
            f"{path}: Unsupported value: {json.dumps(value, default=str)}: supported values: {supported}"
        )
    if isinstance(value, int | float) and not isinstance(value, bool):
        yield from _range(value, schema, path)
    if isinstance(value, str):
        yield from _text(value, schema, path)
    for key, kind, unit in (("maxItems", list, "items"), ("maxProperties", Mapping, "items")):
        if key in schema and isinstance(value, kind) and len(value) > schema[key]:
            yield Complaint(f"{path}: Too many: {len(value)}: must have at most {schema[key]} {unit}")


def _range(value: float, schema: Schema, path: str) -> Iterator[Complaint]:
    """The API server compares whole numbers with the bound's whole part; rules beside it do better."""
    exact: type[int] | type[float] = int if isinstance(value, int) else float
    least, most = schema.get("minimum"), schema.get("maximum")
    for bound, is_out, words in (
        (least, least is not None and value < exact(least), "greater than or equal to"),
        (most, most is not None and value > exact(most), "less than or equal to"),
    ):
        if is_out:
            text = f"{path} in body should be {words} {bound}"
            yield Complaint(f"{path}: Invalid value: {value}: {text}", blocks=False)


def _text(value: str, schema: Schema, path: str) -> Iterator[Complaint]:
    shown = json.dumps(value[:60])
    if len(value) > schema.get("maxLength", len(value)):
        yield Complaint(f"{path}: Too long: may not be more than {schema['maxLength']} bytes")
    if len(value) < schema.get("minLength", 0):
        text = f"{path} in body should be at least {schema['minLength']} chars long"
        yield Complaint(f"{path}: Invalid value: {shown}: {text}", blocks=False)
    if "pattern" in schema and not re.search(schema["pattern"], value):
        text = f"{path} in body should match '{schema['pattern']}'"
        yield Complaint(f"{path}: Invalid value: {shown}: {text}", blocks=False)


def _fields(value: Mapping[Any, Any], schema: Schema, path: str) -> Iterator[Complaint]:
    known = schema.get("properties", {})
    others = schema.get("additionalProperties")
    is_open = schema.get("x-kubernetes-preserve-unknown-fields") or not (known or others is not None)
    for key in schema.get("required", ()):
        if key not in value:
            yield Complaint(f"{_joined(path, key)}: Required value")
    for key, item in value.items():
        if key in known:
            yield from complaints(item, known[key], _joined(path, key))
        elif others is not None:
            yield from complaints(item, others, _joined(path, key))
        elif not is_open:
            close = difflib.get_close_matches(str(key), list(known), n=1)
            hint = f", did you mean {close[0]}?" if close else ""
            yield Complaint(f'unknown field "{_joined(path, key)}"{hint}')


def _entries(value: list[Any], schema: Schema, path: str) -> Iterator[Complaint]:
    kind, keys = schema.get("x-kubernetes-list-type"), schema.get("x-kubernetes-list-map-keys", ())
    seen: list[Any] = []
    for place, item in enumerate(value):
        here = f"{path}[{place}]"
        yield from complaints(item, schema.get("items", {}), here)
        identity = item
        if kind == "map" and isinstance(item, Mapping):
            identity = {key: item.get(key) for key in keys}
        if kind in ("map", "set") and identity in seen:
            yield Complaint(f"{here}: Duplicate value: {json.dumps(identity, default=str)}", blocks=False)
        seen.append(identity)


def _joined(path: str, key: object) -> str:
    return f"{path}.{key}" if path else str(key)

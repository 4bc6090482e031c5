"""A resource as it comes → typed sections; what does not fit the schema is refused with its path.

The API server has checked what comes from it, by the definition of its day; bounds are looked at once more.
For rules across fields see `admission`.
"""

from __future__ import annotations

import difflib
import re
import typing
from collections.abc import Callable, Mapping
from dataclasses import Field, fields, is_dataclass
from typing import Any, TypeVar, get_args, get_origin

from sagesched_operator.api.fields import is_required, key_of
from sagesched_operator.api.schema import without_none

_T = TypeVar("_T")


class SpecError(ValueError):
    """A resource cannot be read; the message starts with the path of the field."""


def read(section: type[_T], raw: object, path: str = "spec") -> _T:
    """Read a section; absent fields take their defaults.

    Raises:
        SpecError: a field is unknown, missing, of the wrong type or out of bounds.
    """
    if not isinstance(raw, Mapping):
        raise SpecError(f"{path}: must be a mapping, not {raw!r:.60}")
    hints = typing.get_type_hints(section)
    items = {key_of(item): item for item in fields(section)}  # type: ignore[arg-type]  # only with sections
    for key in raw:
        if key not in items:
            close = difflib.get_close_matches(str(key), list(items), n=1)
            raise SpecError(f"{path}.{key}: unknown field" + (f", did you mean {close[0]}?" if close else ""))
    values = {}
    for key, item in items.items():
        if raw.get(key) is not None:
            values[item.name] = _value(item, hints[item.name], raw[key], f"{path}.{key}")
        elif is_required(item):
            raise SpecError(f"{path}.{key}: missing")
    return section(**values)


def _value(item: Field[Any], hint: Any, value: object, path: str) -> Any:
    schema = item.metadata["schema"]
    _check_bounds(schema, value, path)
    if "raw" in schema:
        return value
    return _typed(without_none(hint), value, path, schema.get("items", {}))


def _typed(hint: Any, value: object, path: str, items: Mapping[str, Any]) -> Any:
    if is_dataclass(hint) and isinstance(hint, type):
        return read(hint, value, path)
    if get_origin(hint) is tuple:
        if not isinstance(value, list | tuple):
            raise SpecError(f"{path}: must be a list, not {value!r:.60}")
        for index, one in enumerate(value):
            _check_bounds(items, one, f"{path}[{index}]")
        return tuple(
            _typed(get_args(hint)[0], one, f"{path}[{index}]", {}) for index, one in enumerate(value)
        )
    if hint in (str, bool, int, float):
        return _scalar(hint, value, path)
    if not isinstance(value, Mapping):
        raise SpecError(f"{path}: must be a mapping, not {value!r:.60}")
    return dict(value)


def _scalar(hint: type, value: object, path: str) -> Any:
    number = value if isinstance(value, int | float) and not isinstance(value, bool) else None
    fits = {str: isinstance(value, str), bool: isinstance(value, bool), float: number is not None}
    fits[int] = number is not None and float(number).is_integer()
    if not fits[hint]:
        raise SpecError(f"{path}: must be {_WORDS[hint]}, not {value!r:.60}")
    return hint(value)


_WORDS = {str: "text", bool: "true or false", float: "a number", int: "a whole number"}

_CHECKS: dict[str, tuple[Callable[[Any, Any], bool], str]] = {
    "enum": (lambda value, bound: value in bound, "must be one of {}"),
    "minimum": (lambda value, bound: value >= bound, "must be at least {}"),
    "maximum": (lambda value, bound: value <= bound, "must be at most {}"),
    "pattern": (lambda value, bound: re.search(bound, value) is not None, "must match {}"),
    "max_length": (lambda value, bound: len(value) <= bound, "must have at most {} characters"),
    "min_length": (lambda value, bound: len(value) >= bound, "must have at least {} characters"),
    "max_items": (lambda value, bound: len(value) <= bound, "must have at most {} entries"),
    "min_items": (lambda value, bound: len(value) >= bound, "must have at least {} entries"),
}


def _check_bounds(schema: Mapping[str, Any], value: Any, path: str) -> None:
    for name, (holds, complaint) in _CHECKS.items():
        if name not in schema:
            continue
        bound = schema[name]
        shown = ", ".join(map(str, bound)) if isinstance(bound, list | tuple) else bound
        try:
            is_fine = holds(value, bound)
        except TypeError:
            is_fine = False
        if not is_fine:
            raise SpecError(f"{path}: {complaint.format(shown)}, not {value!r:.60}")

"""The page of the pool's fields, pool.md, from the sections of `sagesched_operator.api`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from markdown_page import page, table

from sagesched_operator.api.crd import definition
from sagesched_operator.conditions import CONDITIONS, REASONS, SCALING_REASONS

_SPEC = dict[str, Any]


def pool_page() -> str:
    """Every field of `spec` and `status`, the rules across fields, conditions and reasons."""
    schema = definition()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return page(
        "LLMServingPool",
        "`serving.sagesched.io/v1alpha1`, short name `llmsp`. What is not given has a default; the smallest "
        "pool has a model's name and source, and Triton's image. `sagesched-operator render -f pool.yaml` "
        "prints every object that a pool gets, offline.",
        "## spec",
        table(("field", "type", "default", "bounds", "meaning"), _fields(schema["properties"]["spec"], "")),
        "## Rules across fields",
        "Checked by the API server when a pool is applied; the message says what to do.",
        "\n".join(f"- {message}" for message in dict.fromkeys(_messages(schema))),
        "## status",
        "Coarse on purpose, and written only when it changes; fast figures are metrics.",
        table(("field", "meaning"), _status_fields(schema["properties"]["status"], "")),
        "## Conditions",
        table(("type", "meaning"), ((f"`{name}`", meaning) for name, meaning in CONDITIONS.items())),
        "## Reasons",
        table(("reason", "when"), ((f"`{name}`", meaning) for name, meaning in REASONS.items())),
        "## Reasons of `status.scaling`",
        table(("reason", "when"), ((f"`{name}`", meaning) for name, meaning in SCALING_REASONS.items())),
    )


def _fields(schema: _SPEC, path: str) -> Iterator[tuple[str, ...]]:
    required = schema.get("required", ())
    for name, field in schema["properties"].items():
        here = f"{path}{name}"
        is_section = "properties" in field and not _is_kubernetes(field)
        default = "required" if name in required else _default(field, is_section)
        yield f"`{here}`", _type(field), default, _bounds(field), field.get("description", "")
        if is_section:
            yield from _fields(field, f"{here}.")
        elif "properties" in field.get("items", {}) and "description" in _first(field["items"]):
            yield from _fields(field["items"], f"{here}[].")


def _first(schema: _SPEC) -> _SPEC:
    first: _SPEC = next(iter(schema["properties"].values()))
    return first


def _is_kubernetes(field: _SPEC) -> bool:
    """Taken over from a pod's or a HorizontalPodAutoscaler's own fields, which need no explaining here."""
    return "description" not in _first(field)


def _type(field: _SPEC) -> str:
    if field.get("x-kubernetes-int-or-string"):
        return "number or text"
    if field.get("type") == "array":
        return f"list of {_type(field['items'])}"
    return {"integer": "whole number", "string": "text", "object": "mapping"}.get(
        field["type"], str(field["type"])
    )


def _default(field: _SPEC, is_section: bool) -> str:
    if is_section or "default" not in field:
        return ""
    default = field["default"]
    return (f"`{default}`" if default else "") if isinstance(default, str) else f"`{json.dumps(default)}`"


def _bounds(field: _SPEC) -> str:
    words = []
    if "enum" in field:
        words.append("one of " + ", ".join(f"`{value}`" for value in field["enum"]))
    if "minimum" in field or "maximum" in field:
        words.append(f"{field.get('minimum', '')} to {field.get('maximum', '')}".strip())
    if "maxItems" in field:
        words.append(f"at most {field['maxItems']} entries")
    if "maxLength" in field and "enum" not in field:
        words.append(f"at most {field['maxLength']} characters")
    return "; ".join(words)


def _messages(schema: Any) -> Iterator[str]:
    if isinstance(schema, dict):
        yield from (rule["message"] for rule in schema.get("x-kubernetes-validations", ()))
        for value in schema.values():
            yield from _messages(value)


def _status_fields(schema: _SPEC, path: str) -> Iterator[tuple[str, ...]]:
    for name, field in schema["properties"].items():
        yield f"`{path}{name}`", field.get("description", "")
        if "properties" in field:
            yield from _status_fields(field, f"{path}{name}.")

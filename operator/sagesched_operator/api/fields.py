"""What a field of the resource says about itself: `prop` in the dataclasses, `Rule` beside them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, Field, dataclass, field
from typing import Any

JsonObject = Mapping[str, Any]
"""Part of a Kubernetes object that is handed on as written."""

NAME = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"
"""Names of Kubernetes objects."""

RELATIVE_PATH = r"^[A-Za-z0-9_.][A-Za-z0-9_./-]*$"
"""A path inside a model source; that it holds no `..` is a rule beside it."""

_PORT = "([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])"
NETWORK = "^[0-9a-fA-F.:]+/[0-9]{1,3}$"
"""CIDR notation."""

ENDPOINT = rf"^https?://[A-Za-z0-9.:\[\]_-]+:{_PORT}$"
"""Where something listens over gRPC."""

STORE = rf"^https?://[A-Za-z0-9._-]+(:{_PORT})?$"
"""A store of objects."""

IMAGE = r"^[A-Za-z0-9][A-Za-z0-9._:/@-]*$"
DIGEST = r"^sha256:[a-f0-9]{64}$"


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule across fields, checked by the API server.

    Attributes:
        cel: the expression; `self` is the section that the rule stands in.
        message: what a user reads who breaks it: what is wrong and what to do.
    """

    cel: str
    message: str


def prop(
    doc: str, *, default: Any = MISSING, factory: Any = MISSING, key: str | None = None, **schema: Any
) -> Any:
    """A field of a section.

    Args:
        doc: meaning, for `kubectl explain` and the reference page.
        default: value where the user gives none; without one the field is required.
        factory: instead of `default`, where it is a mapping or another section.
        key: name in YAML where it is not the camelCase of the attribute's.
        schema: bounds as OpenAPI writes them (`minimum`, `maxLength`, `pattern`, `enum`, `maxItems`,
            `x-kubernetes-…` with `_` for `-` and a leading `x_kubernetes`), or `raw` for a whole schema.
    """
    metadata = {"doc": doc, "key": key, "schema": schema}
    if factory is not MISSING:
        return field(default_factory=factory, metadata=metadata)
    if default is MISSING:
        return field(metadata=metadata)
    return field(default=default, metadata=metadata)


def key_of(item: Field[Any]) -> str:
    """The field's name in YAML."""
    if item.metadata.get("key"):
        return str(item.metadata["key"])
    first, *rest = item.name.split("_")
    return first + "".join(word.capitalize() for word in rest)


def is_required(item: Field[Any]) -> bool:
    """Whether the user has to give it."""
    return item.default is MISSING and item.default_factory is MISSING

"""JSON schemas of every kind that an API server has, for kubeconform, made from its own OpenAPI.

Unlike schemas from elsewhere these fit the very server, and they are strict: an unknown field is an error.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from cluster.control_plane import ControlPlane

SHOWN = 600
"""Characters of an objection; those about deep structures repeat themselves."""

_REFERENCE = "#/components/schemas/"


def write_schemas(cluster: ControlPlane, folder: Path) -> Path:
    """A file for every kind; returns the folder.

    Call it after all CustomResourceDefinitions are established and published.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = json.loads(cluster.kubectl("get", "--raw", "/openapi/v3"))["paths"]
    for path in paths:
        if path == "api/v1" or (path.startswith("apis/") and path.count("/") == 2):
            document = json.loads(cluster.kubectl("get", "--raw", f"/openapi/v3/{path}"))
            _write_kinds(document.get("components", {}).get("schemas", {}), folder)
    return folder


def conform(cluster: ControlPlane, schemas: Path, documents: str, skip: Iterable[str] = ()) -> list[str]:
    """What kubeconform objects to, in strict mode; empty where all is well.

    Args:
        cluster: whose programs are used.
        schemas: see `write_schemas`.
        documents: YAML.
        skip: kinds, for which there is no schema.
    """
    location = schemas / "{{.ResourceKind}}{{.KindSuffix}}.json"
    command = [cluster.tools["kubeconform"], "-strict", "-output=json", f"-schema-location={location}"]
    command += [f"-skip={','.join(skip)}"] if skip else []
    done = subprocess.run(command, input=documents, capture_output=True, text=True, timeout=120, check=False)
    if done.returncode and not done.stdout:
        return [done.stderr.strip()]
    resources = json.loads(done.stdout)["resources"] or []
    return [f"{each['kind']} {each['name']}: {each['status']}: {each['msg'][:SHOWN]}" for each in resources]


def _write_kinds(schemas: dict[str, Any], folder: Path) -> None:
    strict = {name: _strict(schema) for name, schema in schemas.items()}
    for name, schema in strict.items():
        for kind in schema.get("x-kubernetes-group-version-kind", ()):
            # As kubeconform names them: kind, first part of the group, version.
            group = kind["group"].split(".")[0]
            file = "-".join(part for part in (kind["kind"], group, kind["version"]) if part).lower()
            needed = {each: strict[each] for each in _closure(name, strict)}
            whole: dict[str, Any] = {
                "$schema": "http://json-schema.org/draft-07/schema#",
                "definitions": needed,
            }
            whole["allOf"] = [{"$ref": f"#/definitions/{name}"}]
            (folder / f"{file}.json").write_text(json.dumps(whole))


def _strict(schema: Any) -> Any:
    """The same schema with unknown fields refused and references inside the file."""
    if isinstance(schema, list):
        return [_strict(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    result = {key: _strict(value) for key, value in schema.items() if key != "properties"}
    if isinstance(reference := result.get("$ref"), str):
        result["$ref"] = reference.replace(_REFERENCE, "#/definitions/")
    if "properties" in schema:
        # Apart from the schema's own keys: a field may be called like one of them.
        result["properties"] = {name: _strict(field) for name, field in schema["properties"].items()}
        if not schema.get("x-kubernetes-preserve-unknown-fields"):
            result.setdefault("additionalProperties", False)
    return result


def _closure(name: str, schemas: dict[str, Any]) -> set[str]:
    """A definition and all that it refers to."""
    seen: set[str] = set()
    waiting = [name]
    while waiting:
        each = waiting.pop()
        if each not in seen:
            seen.add(each)
            waiting += _references(schemas[each])
    return seen


def _references(schema: Any) -> Iterator[str]:
    if isinstance(schema, dict):
        if isinstance(reference := schema.get("$ref"), str):
            yield reference.removeprefix("#/definitions/")
        for value in schema.values():
            yield from _references(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from _references(value)

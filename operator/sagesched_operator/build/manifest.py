"""What all objects have in common."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

from sagesched_operator.api.pool import API_VERSION, KIND, Pool
from sagesched_operator.names import APPLIED_HASH, labels_of

Manifest = dict[str, Any]


def manifest(
    pool: Pool,
    api_version: str,
    kind: str,
    name: str,
    content: Mapping[str, Any],
    *,
    annotations: Mapping[str, str] | None = None,
    labels: Iterable[tuple[str, str]] = (),
) -> Manifest:
    """An object of the pool: named, labelled, owned by it, with the hash of its content.

    Args:
        pool: the owner.
        api_version: of the object.
        kind: of the object.
        name: of the object.
        content: `spec`, `data` and the like.
        annotations: besides our own.
        labels: besides our own.
    """
    metadata: dict[str, Any] = {
        "name": name,
        "namespace": pool.namespace,
        "labels": {**dict(labels), **labels_of(pool)},
        "annotations": dict(annotations or {}),
    }
    if pool.uid:  # without one nothing was made yet: `render`
        metadata["ownerReferences"] = [
            {
                "apiVersion": API_VERSION,
                "kind": KIND,
                "name": pool.name,
                "uid": pool.uid,
                "controller": True,
                "blockOwnerDeletion": False,
            }
        ]
    result: Manifest = {"apiVersion": api_version, "kind": kind, "metadata": metadata, **content}
    metadata["annotations"][APPLIED_HASH] = hash_of(result)
    return result


def hash_of(content: object, length: int = 16) -> str:
    """A short hash (hex) of JSON-ready content; equal content, equal hash."""
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:length]

"""ControllerRevision: what the pods were made from, so that people can see and bring back what ran before."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sagesched_operator.api.pool import API_VERSION, KIND, Pool
from sagesched_operator.build.manifest import Manifest, hash_of, manifest

_TEMPLATE_FIELDS = (
    "model",
    "runtime",
    "resources",
    "podTemplate",
    "gateway",
    "predictor",
    "drain",
    "security",
)
"""Sections of the spec that pods are made from."""


def revision_of(template: Mapping[str, Any]) -> str:
    """Short name of a pod template."""
    return hash_of(template, 10)


def controller_revision(pool: Pool, revision: str, number: int) -> Manifest:
    """The object: `data` holds those sections of the spec that its pods were made from.

    Args:
        pool: whose.
        revision: see `revision_of`.
        number: the highest is what runs.
    """
    spec = {name: pool.raw_spec[name] for name in _TEMPLATE_FIELDS if name in pool.raw_spec}
    data = {"apiVersion": API_VERSION, "kind": KIND, "spec": spec}
    return manifest(
        pool, "apps/v1", "ControllerRevision", f"{pool.name}-{revision}", {"data": data, "revision": number}
    )

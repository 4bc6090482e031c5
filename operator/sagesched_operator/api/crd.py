"""The CustomResourceDefinition, made from the sections."""

from __future__ import annotations

from typing import Any

from sagesched_operator.api.pool import GROUP, KIND, PLURAL, VERSION, PoolSpec
from sagesched_operator.api.schema import schema_of
from sagesched_operator.api.status_schema import status_schema

MOST_NAME = 50
"""Names of children are the pool's with an ending, and a Service's name has 63 characters at most."""


def definition() -> dict[str, Any]:
    """The object to apply."""
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{PLURAL}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": KIND,
                "listKind": f"{KIND}List",
                "plural": PLURAL,
                "singular": KIND.lower(),
                "shortNames": ["llmsp"],
                "categories": ["sagesched"],
            },
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    "schema": {"openAPIV3Schema": _root()},
                    "subresources": {
                        "status": {},
                        "scale": {
                            "specReplicasPath": ".spec.replicas",
                            "statusReplicasPath": ".status.replicas",
                            "labelSelectorPath": ".status.selector",
                        },
                    },
                    "additionalPrinterColumns": _columns(),
                }
            ],
        },
    }


def _root() -> dict[str, Any]:
    spec = {"description": "What is wanted.", **schema_of(PoolSpec)}
    return {
        "type": "object",
        "description": "A pool of Triton servers that serve one LLM, each behind a SageSched gateway.",
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"type": "object"},
            "spec": spec,
            "status": status_schema(),
        },
        "x-kubernetes-validations": [
            {
                "rule": f"self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$') && "
                f"self.metadata.name.size() <= {MOST_NAME}",
                "message": "metadata.name must be lower case letters, digits and '-', start with a letter "
                f"and have at most {MOST_NAME} characters: names of the pool's objects are made from it",
            }
        ],
    }


def _columns() -> list[dict[str, Any]]:
    def condition(type_: str, what: str) -> str:
        return f'.status.conditions[?(@.type=="{type_}")].{what}'

    columns: list[tuple[str, str, str, int]] = [
        ("Ready", "string", condition("Ready", "status"), 0),
        ("Replicas", "integer", ".status.readyReplicas", 0),
        ("Wanted", "integer", ".spec.replicas", 0),
        ("Policy", "string", ".status.policyInEffect", 0),
        ("Reason", "string", condition("Ready", "reason"), 0),
        ("Age", "date", ".metadata.creationTimestamp", 0),
        ("Calibrated", "string", condition("PredictorCalibrated", "status"), 1),
        ("Saturated", "string", condition("BacklogSaturated", "status"), 1),
        ("Scaling", "string", ".status.scaling.reason", 1),
        ("Revision", "string", ".status.revision", 1),
        ("Suspended", "boolean", ".spec.suspend", 1),
        ("Address", "string", ".status.address", 1),
        ("Message", "string", condition("Ready", "message"), 1),
    ]
    return [
        {"name": name, "type": type_, "jsonPath": path, "priority": priority}
        for name, type_, path, priority in columns
    ]

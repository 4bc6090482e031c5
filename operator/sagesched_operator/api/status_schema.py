"""Schema of `status`: coarse, and written only on change."""

from __future__ import annotations

from typing import Any

from sagesched_operator.conditions import CONDITIONS, MOST_SAID, REASONS, SCALING_REASONS


def _text(description: str, most: int = 253) -> dict[str, Any]:
    return {"type": "string", "maxLength": most, "description": description}


def _count(description: str) -> dict[str, Any]:
    return {"type": "integer", "format": "int32", "minimum": 0, "description": description}


def status_schema() -> dict[str, Any]:
    """OpenAPI schema of the status."""
    return {
        "type": "object",
        "description": "What the operator sees. Fast figures are metrics, not status.",
        # Without it Flux takes a pool that nobody has looked at yet for ready.
        "default": {"observedGeneration": -1},
        "properties": {
            "observedGeneration": {
                "type": "integer",
                "format": "int64",
                "description": "Generation of the spec that this status speaks of.",
            },
            "replicas": _count("Pods there are."),
            "readyReplicas": _count("Pods whose gateway takes requests."),
            "updatedReplicas": _count("Pods of the current revision."),
            "selector": _text("Label selector of the pods, for the scale subresource.", 512),
            "revision": _text("Revision of the pods, a hash; there is a ControllerRevision for it.", 63),
            "policyInEffect": _text("Policy that orders requests; `mixed` while pods differ.", 63),
            "settingsInEffect": {
                "type": "boolean",
                "description": "Every gateway runs on the settings of the current spec.",
            },
            "predictor": {
                "type": "object",
                "description": "The predictor, over all pods.",
                "properties": {
                    "mode": _text("Mode in effect.", 63),
                    "provider": _text("Execution provider in use; `mixed` while pods differ.", 63),
                    "history": _text("Size of the smallest history: 0, 1+, 100+, 1k+, 10k+, 100k+.", 16),
                    "coverage": _text(
                        "Share of recent answers inside their predicted 90 % interval, a range, of the pod "
                        "with the smallest: 0.85-0.95 is as it should be.",
                        16,
                    ),
                },
            },
            "scaling": {
                "type": "object",
                "description": "Scaling.",
                "properties": {
                    "desiredReplicas": _count("Pods wanted."),
                    "reason": {
                        "type": "string",
                        "enum": list(SCALING_REASONS),
                        "description": "Why so many.",
                    },
                    "message": _text("The same in words.", MOST_SAID),
                    "backlog": _text(
                        "Predicted backlog per pod against the target: BelowHalf, BelowTarget, AboveTarget, "
                        "FarAbove (more than twice).",
                        16,
                    ),
                },
            },
            "address": _text("Where clients find the pool, gRPC `host:port`.", 512),
            "effective": {
                "type": "object",
                "description": "Values that were not given and follow from the release or other fields.",
                "properties": {
                    "gatewayImage": _text("Image of the gateway.", 512),
                    "gracePeriodSeconds": _count("Grace period of the pods."),
                    "inFlight": _count(
                        "Requests let into an engine at once, as the gateways know it; the smallest."
                    ),
                    "gpuSharing": _text("How the predictor gets at the GPU: Claim, Visible or None.", 16),
                },
            },
            "conditions": {
                "description": "Conditions, by type.",
                "type": "array",
                "maxItems": 16,
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["type"],
                "items": {
                    "type": "object",
                    "required": ["type", "status", "reason", "message", "lastTransitionTime"],
                    "properties": {
                        "type": {"type": "string", "enum": list(CONDITIONS)},
                        "status": {"type": "string", "enum": ["True", "False", "Unknown"]},
                        "reason": {"type": "string", "enum": list(REASONS)},
                        "message": _text("First cause.", MOST_SAID),
                        "observedGeneration": {"type": "integer", "format": "int64"},
                        "lastTransitionTime": {"type": "string", "format": "date-time"},
                    },
                },
            },
        },
    }

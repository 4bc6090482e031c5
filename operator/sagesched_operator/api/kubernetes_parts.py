"""Schemas of what the resource takes over from a pod's own fields, with bounds."""

from __future__ import annotations

from typing import Any

from sagesched_operator.api.fields import NAME

_TEXT = {"type": "string", "maxLength": 253}
_KEY_OF = {
    "type": "object",
    "required": ["name", "key"],
    "properties": {
        "name": {"type": "string", "maxLength": 253},
        "key": {"type": "string", "maxLength": 253},
        "optional": {"type": "boolean"},
    },
}
_QUANTITY: dict[str, Any] = {
    "x-kubernetes-int-or-string": True,
    "anyOf": [{"type": "integer"}, {"type": "string"}],
    "pattern": r"^([0-9]+(\.[0-9]+)?)(m|k|M|G|T|Ki|Mi|Gi|Ti)?$",
    "maxLength": 32,
}

QUANTITIES: dict[str, Any] = {"type": "object", "maxProperties": 16, "additionalProperties": _QUANTITY}

ENV: dict[str, Any] = {
    "type": "array",
    "maxItems": 64,
    "x-kubernetes-list-type": "map",
    "x-kubernetes-list-map-keys": ["name"],
    "items": {
        "type": "object",
        "required": ["name"],
        "properties": {
            "name": {"type": "string", "pattern": "^[A-Za-z_][A-Za-z0-9_]*$", "maxLength": 128},
            "value": {"type": "string", "maxLength": 4096},
            "valueFrom": {
                "type": "object",
                "properties": {"secretKeyRef": _KEY_OF, "configMapKeyRef": _KEY_OF},
                "x-kubernetes-validations": [
                    {
                        "rule": "has(self.secretKeyRef) != has(self.configMapKeyRef)",
                        "message": "give one of secretKeyRef, configMapKeyRef",
                    }
                ],
            },
        },
        "x-kubernetes-validations": [
            {"rule": "has(self.value) != has(self.valueFrom)", "message": "give one of value, valueFrom"}
        ],
    },
}

TOLERATIONS: dict[str, Any] = {
    "type": "array",
    "maxItems": 16,
    "x-kubernetes-list-type": "atomic",
    "items": {
        "type": "object",
        "properties": {
            "key": _TEXT,
            "operator": {"type": "string", "enum": ["Exists", "Equal"]},
            "value": {"type": "string", "maxLength": 63},
            "effect": {"type": "string", "enum": ["NoSchedule", "PreferNoSchedule", "NoExecute"]},
            "tolerationSeconds": {"type": "integer", "minimum": 0, "maximum": 86400},
        },
    },
}

AFFINITY: dict[str, Any] = {
    "type": "object",
    "properties": {
        name: {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
        for name in ("nodeAffinity", "podAffinity", "podAntiAffinity")
    },
}

SPREAD: dict[str, Any] = {
    "type": "array",
    "maxItems": 8,
    "x-kubernetes-list-type": "map",
    "x-kubernetes-list-map-keys": ["topologyKey", "whenUnsatisfiable"],
    "items": {
        "type": "object",
        "required": ["topologyKey", "maxSkew", "whenUnsatisfiable"],
        "properties": {
            "topologyKey": _TEXT,
            "maxSkew": {"type": "integer", "minimum": 1, "maximum": 1000},
            "whenUnsatisfiable": {"type": "string", "enum": ["DoNotSchedule", "ScheduleAnyway"]},
        },
    },
}

VOLUMES: dict[str, Any] = {
    "type": "array",
    "maxItems": 16,
    "x-kubernetes-list-type": "map",
    "x-kubernetes-list-map-keys": ["name"],
    "items": {
        "type": "object",
        "required": ["name"],
        "properties": {
            "name": {"type": "string", "pattern": "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", "maxLength": 63},
            "persistentVolumeClaim": {
                "type": "object",
                "required": ["claimName"],
                "properties": {
                    "claimName": {"type": "string", "pattern": NAME, "maxLength": 253},
                    "readOnly": {"type": "boolean"},
                },
            },
            "configMap": {
                "type": "object",
                "required": ["name"],
                "properties": {"name": _TEXT, "optional": {"type": "boolean"}},
            },
            "secret": {
                "type": "object",
                "required": ["secretName"],
                "properties": {"secretName": _TEXT, "optional": {"type": "boolean"}},
            },
            "emptyDir": {
                "type": "object",
                "properties": {
                    "medium": {"type": "string", "enum": ["", "Memory"]},
                    "sizeLimit": _QUANTITY,
                },
            },
            "csi": {
                "type": "object",
                "required": ["driver"],
                "properties": {
                    "driver": _TEXT,
                    "readOnly": {"type": "boolean"},
                    "volumeAttributes": {
                        "type": "object",
                        "maxProperties": 32,
                        "additionalProperties": {"type": "string", "maxLength": 1024},
                    },
                },
            },
        },
        "x-kubernetes-validations": [
            {
                "rule": "[has(self.persistentVolumeClaim), has(self.configMap), has(self.secret), "
                "has(self.emptyDir), has(self.csi)].filter(given, given).size() == 1",
                "message": "give exactly one of persistentVolumeClaim, configMap, secret, emptyDir, csi",
            },
            {
                "rule": "!self.name.startsWith('sagesched-')",
                "message": "volume names that start with sagesched- are the operator's",
            },
        ],
    },
}

VOLUME_MOUNTS: dict[str, Any] = {
    "type": "array",
    "maxItems": 16,
    "x-kubernetes-list-type": "map",
    "x-kubernetes-list-map-keys": ["mountPath"],
    "items": {
        "type": "object",
        "required": ["name", "mountPath"],
        "properties": {
            "name": {"type": "string", "maxLength": 63},
            "mountPath": {"type": "string", "pattern": "^/[^:]*$", "maxLength": 512},
            "subPath": {"type": "string", "maxLength": 512},
            "readOnly": {"type": "boolean"},
        },
        "x-kubernetes-validations": [
            {
                "rule": "!(self.mountPath in ['/', '/tmp', '/tmp/', '/dev/shm', '/dev/shm/']) && "
                "!['/models', '/source', '/run/sagesched'].exists(own, self.mountPath == own || "
                "self.mountPath.startsWith(own + '/'))",
                "message": "/, /tmp, /dev/shm, and all of /models, /source and /run/sagesched are the "
                "operator's",
            }
        ],
    },
}

INT_OR_PERCENT: dict[str, Any] = {
    "x-kubernetes-int-or-string": True,
    "anyOf": [{"type": "integer"}, {"type": "string"}],
    "pattern": "^(100|[1-9]?[0-9])%$",
    "maxLength": 4,
    "x-kubernetes-validations": [
        {"rule": "type(self) != int || self >= 0", "message": "must be at least 0, or a percentage"}
    ],
}

_SCALING_RULES = {
    "type": "object",
    "properties": {
        "stabilizationWindowSeconds": {"type": "integer", "minimum": 0, "maximum": 3600},
        "selectPolicy": {"type": "string", "enum": ["Max", "Min", "Disabled"]},
        "policies": {
            "type": "array",
            "maxItems": 8,
            "x-kubernetes-list-type": "atomic",
            "items": {
                "type": "object",
                "required": ["type", "value", "periodSeconds"],
                "properties": {
                    "type": {"type": "string", "enum": ["Pods", "Percent"]},
                    "value": {"type": "integer", "minimum": 1, "maximum": 10000},
                    "periodSeconds": {"type": "integer", "minimum": 1, "maximum": 1800},
                },
            },
        },
    },
}

HPA_BEHAVIOR: dict[str, Any] = {
    "type": "object",
    "properties": {"scaleUp": _SCALING_RULES, "scaleDown": _SCALING_RULES},
}

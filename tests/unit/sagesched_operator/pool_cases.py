"""Pools for the golden files: the smallest, the largest, and one per field of the spec."""

from __future__ import annotations

import copy
from typing import Any

SMALLEST: dict[str, Any] = {
    "model": {"name": "llama-3.1-8b", "source": {"pvc": {"claimName": "models"}}},
    "runtime": {"image": "nvcr.io/nvidia/tritonserver:26.07-trtllm-python-py3"},
}

_URI = {"uri": "s3://models/llama", "secretName": "s3-keys", "sizeLimit": "40Gi"}
_DIGEST = "sha256:" + "0123456789abcdef" * 4
_SECRET = {"secretKeyRef": {"name": "keys", "key": "ngc", "optional": True}}
_VOLUME = {"name": "cache", "persistentVolumeClaim": {"claimName": "cache"}}

FIELDS: dict[str, dict[str, Any]] = {
    "model-name": {"model": {"name": "mistral"}},
    "model-source-pvc-path": {"model": {"source": {"pvc": {"path": "llama/v2"}}}},
    "model-source-oci-copy": {
        "model": {"source": {"pvc": None, "oci": {"image": "r.io/llama:1", "path": "/m"}}}
    },
    "model-source-oci-image-volume": {
        "model": {
            "source": {"pvc": None, "oci": {"image": "r.io/llama:1", "mount": "ImageVolume"}},
            "digest": _DIGEST,
        }
    },
    "model-source-uri": {"model": {"source": {"pvc": None, "uri": _URI}}},
    "model-source-uri-endpoint": {
        "model": {
            "source": {"pvc": None, "uri": _URI | {"endpoint": "http://minio.storage:9000"}},
            "digest": _DIGEST,
        }
    },
    "model-source-uri-gs": {
        "model": {"source": {"pvc": None, "uri": {"uri": "gs://models/llama", "secretName": "gcs-key"}}}
    },
    "model-source-uri-identity": {
        "model": {"source": {"pvc": None, "uri": {"uri": "gs://models/llama"}}},
        "podTemplate": {"serviceAccount": {"annotations": {"iam.gke.io/gcp-service-account": "llama@p"}}},
    },
    "pod-template-service-account-name": {"podTemplate": {"serviceAccount": {"name": "models-reader"}}},
    "model-source-host-path": {"model": {"source": {"pvc": None, "hostPath": {"path": "/data/llama"}}}},
    "model-repository": {"model": {"repository": "triton"}},
    "model-tokenizer": {"model": {"tokenizer": "tokenizer"}},
    "model-digest": {"model": {"digest": _DIGEST}},
    "runtime-image": {"runtime": {"image": "example.com/triton:2"}},
    "runtime-profile-llmapi": {"runtime": {"profile": "llmapi"}},
    "runtime-profile-vllm": {"runtime": {"profile": "vllm"}},
    "runtime-args": {"runtime": {"args": ["--log-verbose=1"]}},
    "runtime-env": {"runtime": {"env": [{"name": "A", "value": "b"}, {"name": "K", "valueFrom": _SECRET}]}},
    "runtime-kv-policy": {"runtime": {"kvPolicy": "GuaranteedNoEvict"}},
    "resources": {
        "resources": {"limits": {"nvidia.com/gpu": 2}, "requests": {"memory": "64Gi"}, "sharedMemory": "8Gi"}
    },
    "pod-template-labels": {"podTemplate": {"labels": {"team": "a"}, "annotations": {"note": "b"}}},
    "pod-template-placement": {
        "podTemplate": {
            "nodeSelector": {"gpu": "h100"},
            "tolerations": [{"key": "gpu", "operator": "Exists", "effect": "NoSchedule"}],
            "affinity": {
                "nodeAffinity": {
                    "requiredDuringSchedulingIgnoredDuringExecution": {
                        "nodeSelectorTerms": [{"matchExpressions": [{"key": "gpu", "operator": "Exists"}]}]
                    }
                }
            },
            "topologySpreadConstraints": [
                {"topologyKey": "zone", "maxSkew": 2, "whenUnsatisfiable": "DoNotSchedule"}
            ],
            "priorityClassName": "serving",
            "runtimeClassName": "nvidia",
        }
    },
    "pod-template-storage": {
        "podTemplate": {
            "imagePullSecrets": ["ngc"],
            "fsGroup": 2000,
            "volumes": [_VOLUME],
            "volumeMounts": [{"name": "cache", "mountPath": "/cache"}],
        }
    },
    "replicas": {"replicas": 3},
    "suspend": {"replicas": 3, "suspend": True, "scaling": {"actuator": "HPA", "maxReplicas": 4}},
    "scaling-hpa": {
        "scaling": {
            "actuator": "HPA",
            "minReplicas": 2,
            "maxReplicas": 8,
            "behavior": {"scaleDown": {"stabilizationWindowSeconds": 600}},
        }
    },
    "scaling-keda": {
        "scaling": {
            "actuator": "KEDA",
            "minReplicas": 2,
            "maxReplicas": 8,
            "behavior": {"scaleUp": {"policies": [{"type": "Pods", "value": 1, "periodSeconds": 60}]}},
        }
    },
    "scaling-target-backlog-seconds": {"scaling": {"targetBacklogSeconds": 30}},
    "gateway-image": {"gateway": {"image": "example.com/gateway:2"}},
    "gateway-resources": {"gateway": {"resources": {"limits": {"memory": "2Gi"}, "requests": {"cpu": 1}}}},
    "gateway-in-flight": {"gateway": {"inFlight": 64}},
    "gateway-queue": {
        "gateway": {"queue": {"requests": 50, "bytes": 2048, "fullCode": "RESOURCE_EXHAUSTED"}}
    },
    "gateway-tls": {"gateway": {"tls": {"secretName": "llama-tls", "requireClientCertificates": True}}},
    "gateway-connection-age-seconds": {"gateway": {"connectionAgeSeconds": 60}},
    "gateway-attributes": {"gateway": {"trustedNetworks": ["10.0.0.0/8"], "exposePrediction": True}},
    "gateway-admin-calls": {"gateway": {"adminCalls": ["trace"]}},
    "gateway-default-max-tokens": {"gateway": {"defaultMaxTokens": 256}},
    "gateway-log": {"gateway": {"logLevel": "debug", "logFormat": "Text"}},
    "scheduling-policy": {"scheduling": {"policy": "ssjf", "ageGuard": True}},
    "scheduling-interval": {
        "scheduling": {
            "policy": "amin",
            "interval": {"lower": 0.2, "upper": 0.8},
            "evictions": {"first": "Largest", "most": 1},
        }
    },
    "scheduling-deadlines": {"scheduling": {"deadlines": {"refuseBelow": 0.5, "dropBelow": 0.1}}},
    "scheduling-tenants": {
        "scheduling": {"tenants": {"defaultWeight": 2, "weights": [{"name": "research", "weight": 3}]}}
    },
    "scheduling-bands": {
        "gateway": {"queue": {"seconds": 120}},
        "scheduling": {"bands": {"sheddableBelow": 1}},
    },
    "scheduling-tail-weight": {"scheduling": {"tailWeight": 2.5}},
    "predictor-artifact": {
        "predictor": {
            "mode": "Artifact",
            "artifact": {"source": {"oci": {"image": "r.io/predictor:1", "path": "/p"}}, "digest": _DIGEST},
        }
    },
    "predictor-artifact-image-volume": {
        "predictor": {
            "mode": "Artifact",
            "artifact": {"source": {"oci": {"image": "r.io/predictor:1", "mount": "ImageVolume"}}},
        }
    },
    "predictor-artifact-uri": {
        "predictor": {
            "mode": "Artifact",
            "artifact": {"source": {"uri": _URI | {"endpoint": "https://ceph.storage"}}},
        },
    },
    "predictor-artifact-pvc": {
        "predictor": {
            "mode": "Artifact",
            "artifact": {
                "source": {"pvc": {"claimName": "predictors", "path": "llama"}},
                "digest": _DIGEST,
            },
        }
    },
    "predictor-calibration": {"predictor": {"calibration": {"tolerance": 0.1, "window": 1000}}},
    "predictor-history-retention": {"predictor": {"history": {"retentionDays": 7, "byTenant": True}}},
    "predictor-history-snapshot": {
        "predictor": {"history": {"snapshot": {"claimName": "history"}}},
        "rollout": {"maxSurge": 0, "maxUnavailable": 1},
    },
    "predictor-mode": {"predictor": {"mode": "None"}},
    "predictor-device-gpu-by-claim": {
        "resources": {"limits": {"nvidia.com/gpu": 1}},
        "predictor": {"device": "GPU", "gpu": {"deviceClassName": "h100", "count": 2}},
    },
    "predictor-device-gpu-visible": {
        "resources": {"limits": {"nvidia.com/gpu": 1}},
        "predictor": {"device": "GPU"},
    },
    "predictor-gpu-sharing": {
        "resources": {"limits": {"nvidia.com/gpu": 1}},
        "predictor": {"device": "GPU", "gpu": {"sharing": "Visible"}},
    },
    "predictor-history-size": {"predictor": {"history": {"size": 500}}},
    "drain": {"drain": {"maxSeconds": 60}},
    "drain-quantile": {"drain": {"quantile": 0.99}},
    "rollout": {"rollout": {"maxSurge": 0, "maxUnavailable": "25%", "revisionHistory": 2}},
    "disruption-min-available": {"disruption": {"minAvailable": 1}},
    "disruption-max-unavailable": {"disruption": {"maxUnavailable": "50%"}},
    "observability-scrape-seconds": {"observability": {"scrapeSeconds": 30}},
    "observability-traces": {
        "observability": {"traces": {"endpoint": "http://collector.monitoring:4317", "sampleRatio": 0.5}}
    },
    "observability-none": {"observability": {"monitor": "None", "rules": False}},
    "security-open": {"security": {"networkPolicy": "Open"}},
    "security-client-namespaces": {"security": {"clientNamespaces": ["web", "batch"]}},
    "security-client-networks": {"security": {"clientNetworks": ["203.0.113.0/24", "2001:db8::/32"]}},
    "security-baseline": {"security": {"podSecurity": "Baseline"}},
    "expose-service": {"expose": {"serviceType": "LoadBalancer", "serviceAnnotations": {"lb": "internal"}}},
    "expose-inference-pool": {
        "expose": {
            "inferencePool": {"endpointPicker": {"name": "epp", "port": 9003, "failureMode": "FailOpen"}}
        }
    },
}
"""What is set beside `SMALLEST`; None takes a field away."""

WITHOUT_EFFECT_ON_OBJECTS = {
    "spec.scaling.quantile": "goes into the scaling signal: test_signal.py",
    "spec.scaling.maxWaitSeconds": "goes into the scaling signal: test_signal.py",
}
"""Fields that act elsewhere than in the children's manifests, and where that is tested."""


def spec_of(name: str) -> dict[str, Any]:
    """The spec of a case."""
    return merged(SMALLEST, FIELDS[name])


def merged(base: dict[str, Any], change: dict[str, Any]) -> dict[str, Any]:
    """`base` with the changes put in, deeply."""
    result = copy.deepcopy(base)
    for key, value in change.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, dict) and isinstance(result.get(key), dict):
            result[key] = merged(result[key], value)
        else:
            result[key] = copy.deepcopy(value)
    return result


def a_pool(spec: dict[str, Any], name: str = "llama", namespace: str = "team-a") -> dict[str, Any]:
    """The resource."""
    return {
        "apiVersion": "serving.sagesched.io/v1alpha1",
        "kind": "LLMServingPool",
        "metadata": {"name": name, "namespace": namespace},
        "spec": spec,
    }

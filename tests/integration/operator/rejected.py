"""Pools that the API server refuses, and a part of what the user reads. Each is `SMALLEST` with a change."""

from __future__ import annotations

from typing import Any

_TWO_SOURCES = {"model": {"source": {"oci": {"image": "r.io/llama:1"}}}}


def _source(**source: Any) -> dict[str, Any]:
    return {"model": {"source": {"pvc": None, **source}}}


def _volume(**volume: Any) -> dict[str, Any]:
    return {"podTemplate": {"volumes": [volume]}}


REJECTED: dict[str, tuple[dict[str, Any], str]] = {
    "no model": ({"model": None}, "spec.model: Required value"),
    "no image": ({"runtime": {"image": None}}, "spec.runtime.image: Required value"),
    "no source": (_source(), "give exactly one of pvc, oci, uri, hostPath"),
    "two sources": (_TWO_SOURCES, "give exactly one of pvc, oci, uri, hostPath"),
    "unknown scheme": (_source(uri={"uri": "ftp://a/b"}), "must start with https://, s3://, gs:// or hf://"),
    "plain http": (_source(uri={"uri": "http://a/b"}), "must start with https://, s3://, gs:// or hf://"),
    "blank in address": (
        _source(uri={"uri": "https://a b"}),
        "must start with https://, s3://, gs:// or hf://",
    ),
    "another store than that of the scheme": (
        _source(uri={"uri": "gs://a/b", "endpoint": "https://minio:9000"}),
        "endpoint goes with s3:// and hf:// only: remove it",
    ),
    "a token in the clear": (
        _source(uri={"uri": "hf://a/b", "endpoint": "http://mirror"}),
        "the endpoint of hf:// must be https://, or a token would be readable on its way",
    ),
    "annotations of somebody else's account": (
        {"podTemplate": {"serviceAccount": {"name": "a", "annotations": {"b": "c"}}}},
        "annotate that ServiceAccount yourself: annotations are for the pool's own, without name",
    ),
    "climbing out of the volume": (
        {"model": {"source": {"pvc": {"path": "a/../../b"}}}},
        "must not contain '..': it is a path inside the model source",
    ),
    "climbing repository": (
        {"model": {"repository": "../x"}},
        "must not contain '..': it is a path inside the model source",
    ),
    "absolute tokenizer": (
        {"model": {"tokenizer": "/etc/passwd"}},
        "spec.model.tokenizer in body should match",
    ),
    "climbing host path": (_source(hostPath={"path": "/data/../etc"}), "must not contain '..'"),
    "image with blanks": ({"runtime": {"image": "a b"}}, "spec.runtime.image in body should match"),
    "short digest": ({"model": {"digest": "sha256:abc"}}, "spec.model.digest in body should match"),
    "unknown mount": (
        _source(oci={"image": "r.io/a", "mount": "Link"}),
        'Unsupported value: "Link": supported values: "Copy", "ImageVolume"',
    ),
    "misspelt field": ({"runtime": {"imge": "x"}}, 'unknown field "spec.runtime.imge"'),
    "unknown profile": (
        {"runtime": {"profile": "onnx"}},
        'supported values: "auto", "inflight-batcher", "llmapi", "vllm"',
    ),
    "vllm that reserves ahead": (
        {"runtime": {"profile": "vllm", "kvPolicy": "GuaranteedNoEvict"}},
        "kvPolicy GuaranteedNoEvict does not exist in vLLM: remove it, or choose another profile",
    ),
    "an option that is the operator's": (
        {"runtime": {"args": ["--allow-http=false"]}},
        "these options are the operator's: model-repository, model-store, allow-http, allow-grpc, "
        "allow-metrics, http-address, http-port, grpc-address, grpc-port, metrics-address, metrics-port, "
        "exit-timeout-secs",
    ),
    "variable with value and source": (
        {
            "runtime": {
                "env": [{"name": "A", "value": "1", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]
            }
        },
        "give one of value, valueFrom",
    ),
    "variable from nowhere": (
        {"runtime": {"env": [{"name": "A", "valueFrom": {}}]}},
        "give one of secretKeyRef, configMapKeyRef",
    ),
    "the same variable twice": (
        {"runtime": {"env": [{"name": "A", "value": "1"}, {"name": "A", "value": "2"}]}},
        "spec.runtime.env[1]: Duplicate value",
    ),
    "odd quantity": (
        {"resources": {"limits": {"memory": "lots"}}},
        "spec.resources.limits.memory in body should match",
    ),
    "operator's label": (
        {"podTemplate": {"labels": {"serving.sagesched.io/pool": "x"}}},
        "labels of serving.sagesched.io/ and app.kubernetes.io/ are the operator's",
    ),
    "operator's annotation": (
        {"podTemplate": {"annotations": {"serving.sagesched.io/x": "y"}}},
        "annotations of serving.sagesched.io/ are the operator's",
    ),
    "volume of two kinds": (
        _volume(name="a", emptyDir={}, configMap={"name": "c"}),
        "give exactly one of persistentVolumeClaim, configMap, secret, emptyDir, csi",
    ),
    "folder of the node as volume": (
        _volume(name="a", hostPath={"path": "/"}),
        'unknown field "spec.podTemplate.volumes[0].hostPath"',
    ),
    "operator's volume": (
        _volume(name="sagesched-x", emptyDir={}),
        "volume names that start with sagesched- are the operator's",
    ),
    "mount without volume": (
        {"podTemplate": {"volumeMounts": [{"name": "a", "mountPath": "/a"}]}},
        "each of volumeMounts needs a volume of that name in volumes",
    ),
    "mount over the models": (
        {
            "podTemplate": {
                "volumes": [{"name": "a", "emptyDir": {}}],
                "volumeMounts": [{"name": "a", "mountPath": "/models/mine"}],
            }
        },
        "/, /tmp, /dev/shm, and all of /models, /source and /run/sagesched are the operator's",
    ),
    "negative replicas": ({"replicas": -1}, "spec.replicas in body should be greater than or equal to 0"),
    "too many replicas": ({"replicas": 5000}, "spec.replicas in body should be less than or equal to 1000"),
    "scaling without bounds": ({"scaling": {"actuator": "HPA"}}, "an actuator needs maxReplicas"),
    "bounds the wrong way round": (
        {"scaling": {"actuator": "KEDA", "minReplicas": 5, "maxReplicas": 2}},
        "minReplicas must not be above maxReplicas",
    ),
    "unknown actuator": ({"scaling": {"actuator": "VPA"}}, 'supported values: "None", "HPA", "KEDA"'),
    "scaling to nothing": (
        {"scaling": {"actuator": "HPA", "minReplicas": 0, "maxReplicas": 2}},
        "spec.scaling.minReplicas in body should be greater than or equal to 1",
    ),
    "no places in the engine": ({"gateway": {"inFlight": 0}}, "must be auto or a number from 1 to 65536"),
    "places in words": ({"gateway": {"inFlight": "many"}}, "spec.gateway.inFlight in body should match"),
    "certificates without a Secret": (
        {"gateway": {"tls": {"requireClientCertificates": True}}},
        "spec.gateway.tls.secretName: Required value",
    ),
    "TLS behind an InferencePool": (
        {
            "gateway": {"tls": {"secretName": "tls"}},
            "expose": {"inferencePool": {"endpointPicker": {"name": "epp"}}},
        },
        "gateways of an InferencePool speak to pods without TLS: remove gateway.tls and let the Gateway "
        "serve TLS, or remove expose.inferencePool",
    ),
    "empty queue": (
        {"gateway": {"queue": {"requests": 0}}},
        "spec.gateway.queue.requests in body should be greater",
    ),
    "network with a name": (
        {"gateway": {"trustedNetworks": ["office"]}},
        "spec.gateway.trustedNetworks[0] in body should match",
    ),
    "unknown policy": ({"scheduling": {"policy": "lifo"}}, 'Unsupported value: "lifo"'),
    "age guard for another policy": (
        {"scheduling": {"ageGuard": True}},
        "ageGuard belongs to policy ssjf: remove it, or choose that policy",
    ),
    "tail weight for another policy": (
        {"scheduling": {"policy": "fcfs", "tailWeight": 2}},
        "tailWeight belongs to policy gittins-boost: remove it, or choose that policy",
    ),
    "no tail weight": (
        {"scheduling": {"tailWeight": 0}},
        'spec.scheduling.tailWeight: Invalid value: "number": must be above 0',
    ),
    "interval for another policy": (
        {"scheduling": {"interval": {"lower": 0.2}}},
        "interval belongs to policies amax and amin: remove it, or choose one of them",
    ),
    "interval the wrong way round": (
        {"scheduling": {"policy": "amin", "interval": {"lower": 0.9, "upper": 0.1}}},
        "lower must not be above upper",
    ),
    "evictions for another policy": (
        {"scheduling": {"policy": "amax", "evictions": {"most": 1}}},
        "evictions belong to policy amin: remove them, or choose that policy",
    ),
    "amin on an engine that reserves ahead": (
        {"scheduling": {"policy": "amin"}, "runtime": {"kvPolicy": "GuaranteedNoEvict"}},
        "amax and amin need an engine that grows KV as it goes: choose runtime.kvPolicy MaxUtilization",
    ),
    "shedding without a limit": (
        {"scheduling": {"bands": {"sheddableBelow": 1}}},
        "bands.sheddableBelow takes effect at gateway.queue.seconds: set that too",
    ),
    "certain refusal": (
        {"scheduling": {"deadlines": {"refuseBelow": 2}}},
        "spec.scheduling.deadlines.refuseBelow in body should be less than or equal to 1",
    ),
    "the same tenant twice": (
        {"scheduling": {"tenants": {"weights": [{"name": "a", "weight": 1}, {"name": "a", "weight": 2}]}}},
        "spec.scheduling.tenants.weights[1]: Duplicate value",
    ),
    "tenant without share": (
        {"scheduling": {"tenants": {"weights": [{"name": "a", "weight": 0}]}}},
        "must be above 0",
    ),
    "impossible quantile": ({"scaling": {"quantile": 1}}, "must be from 0.5 to 0.95"),
    "order by predictions without any": (
        {"scheduling": {"policy": "ssjf"}, "predictor": {"mode": "None"}},
        "this policy orders by predictions: choose another predictor.mode than None, or policy fcfs",
    ),
    "no predictor on a GPU": (
        {"predictor": {"mode": "None", "device": "GPU"}},
        "device GPU needs a predictor: choose another mode than None",
    ),
    "artifact without its mode": (
        {"predictor": {"artifact": {"source": {"pvc": {"claimName": "p"}}}}},
        "mode Artifact and artifact belong together: give both, or neither",
    ),
    "artifact from nowhere": (
        {"predictor": {"mode": "Artifact", "artifact": {"source": {}}}},
        "give exactly one of pvc, oci, uri",
    ),
    "snapshot of many pods": (
        {"replicas": 2, "predictor": {"history": {"snapshot": {"claimName": "h"}}}},
        "predictor.history.snapshot has one writer: one replica, no actuator, and rollout.maxSurge 0",
    ),
    "no tolerance": ({"predictor": {"calibration": {"tolerance": 0}}}, "must be above 0, and at most 0.5"),
    "drain too short": ({"drain": {"maxSeconds": 5}}, "spec.drain.maxSeconds in body should be greater"),
    "drain too long": ({"drain": {"maxSeconds": 90000}}, "spec.drain.maxSeconds in body should be less"),
    "drain by a coin": ({"drain": {"quantile": 0.1}}, "must be from 0.5 to 1"),
    "drain by predictions without any": (
        {"drain": {"quantile": 0.9}, "scheduling": {"policy": "fcfs"}, "predictor": {"mode": "None"}},
        "drain.quantile needs predictions: remove it, or choose another predictor.mode than None",
    ),
    "a rollout that cannot be": (
        {"rollout": {"maxSurge": 0, "maxUnavailable": "0%"}},
        "maxSurge and maxUnavailable must not both be 0: no pod could ever be replaced",
    ),
    "negative surge": ({"rollout": {"maxSurge": -1}}, "must be at least 0, or a percentage"),
    "two bounds of disruption": (
        {"disruption": {"minAvailable": 1, "maxUnavailable": 1}},
        "give minAvailable or maxUnavailable, not both",
    ),
    "rules without series": (
        {"observability": {"monitor": "None"}},
        "rules need the series that a monitor collects: set rules: false, or monitor: PodMonitor",
    ),
    "traces to a page": (
        {"observability": {"traces": {"endpoint": "http://collector/v1/traces"}}},
        "spec.observability.traces.endpoint in body should match",
    ),
    "traces to no port": (
        {"observability": {"traces": {"endpoint": "http://collector:65536"}}},
        "spec.observability.traces.endpoint in body should match",
    ),
    "more traces than requests": (
        {"observability": {"traces": {"endpoint": "http://collector:4317", "sampleRatio": 2}}},
        "spec.observability.traces.sampleRatio in body should be less than or equal to 1",
    ),
    "clients of an open pool": (
        {"security": {"networkPolicy": "Open", "clientNamespaces": ["web"]}},
        "clientNamespaces have no meaning with networkPolicy Open",
    ),
    "client networks of an open pool": (
        {"security": {"networkPolicy": "Open", "clientNetworks": ["10.0.0.0/8"]}},
        "clientNetworks have no meaning with networkPolicy Open",
    ),
    "picker without name": (
        {"expose": {"inferencePool": {"endpointPicker": {"port": 1}}}},
        "spec.expose.inferencePool.endpointPicker.name: Required value",
    ),
}

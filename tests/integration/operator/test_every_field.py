"""Each field of a pool against a real API server: nothing to put right, no diff, and gone without a trace.

What a builder leaves to the server's defaults, or writes in another way than the server gives it back, would
be put right again and again; what an apply does not take away is a difference to a pool that never had it.
"""

from __future__ import annotations

import json
import re
import time

from operator_process import USER, until
from pool_cases import FIELDS, SMALLEST, a_pool, merged, spec_of

_TROUBLES = {
    "model-source-oci-image-volume": "FieldNotKept",  # a feature that this API server has turned off
    "predictor-artifact-image-volume": "FieldNotKept",
    "pod-template-placement": "NotAllowed",  # its priority class is not there
    "pod-template-service-account-name": "NotAllowed",  # nor that account
    "scaling-keda": "KindMissing",
    "expose-inference-pool": "KindMissing",
}
"""What is told of a pool here; of the others nothing."""

_NOT_ALLOWED = {"model-source-host-path"}
_ODD = {
    "odd-values": {
        "runtime": {"env": [{"name": "EMPTY", "value": ""}, {"name": "UNICODE", "value": "ü\n"}]},
        "resources": {
            "limits": {"cpu": "0.5", "memory": "1024Mi", "ephemeral-storage": "1.5Gi"},
            "requests": {"cpu": "100m", "memory": "1000000k"},
            "sharedMemory": "1024Mi",
        },
        "podTemplate": {
            "labels": {"empty": ""},
            "annotations": {"note": "ü: {}\n"},
            "tolerations": [{"operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 0}],
            "volumes": [
                {"name": "a", "emptyDir": {"medium": "", "sizeLimit": "0.5Gi"}},
                {"name": "b", "csi": {"driver": "d", "readOnly": False}},
            ],
            "volumeMounts": [
                {"name": "a", "mountPath": "/b", "readOnly": False},
                {"name": "a", "mountPath": "/a", "subPath": "x"},
            ],
            "topologySpreadConstraints": [
                {"topologyKey": "zone", "maxSkew": 1, "whenUnsatisfiable": one}
                for one in ("ScheduleAnyway", "DoNotSchedule")
            ],
        },
        "rollout": {"maxSurge": "0%", "maxUnavailable": "100%"},
        "disruption": {"minAvailable": 0},
        "security": {"clientNetworks": ["10.1.2.3/8"]},
    },
    "a-name-as-long-as-names-may-be-" + "x" * 14: {"scaling": {"actuator": "HPA", "maxReplicas": 2}},
    "much-text": {
        "runtime": {"args": [f"--log-file={number}{'x' * 900}" for number in range(60)]},
        "podTemplate": {"annotations": {f"note-{number}": "x" * 4000 for number in range(30)}},
    },
    "long-image": {"runtime": {"image": f"r.io/{'a' * 200}/{'b' * 200}:{'c' * 100}"}},
}
CASES = {name: spec_of(name) for name in FIELDS if name not in _NOT_ALLOWED}
CASES |= {name: merged(SMALLEST, change) for name, change in _ODD.items()}
TWIN = "twin"
_REMAINS = {"model-name", "scaling-hpa"}
"""A name that cannot be changed back; the pods that a scaler asked for."""

PREFIX = "case-"
"""Of pools' names, which stand for nothing else in their children then."""

_HASHES = re.compile(r'"serving\.sagesched\.io/(settings-hash|settings-digest|applied-hash)": "[^"]*"')
"""Pools of different names have different ones."""

REPAIRS = "sagesched_operator_drift_repairs_total"
STILL_S = 4.0
KINDS = "deployment,service,configmap,serviceaccount,pdb,networkpolicy,hpa"


def test_every_field_is_written_once_and_leaves_nothing_behind(space, operator):
    repaired = operator.metric(REPAIRS)
    documents = _documents(space, {TWIN: SMALLEST, **CASES})
    space.kubectl("apply", "-f", "-", stdin=documents)
    _settle(space, len(CASES) + 1)

    assert operator.metric(REPAIRS) == repaired
    differing = space.plane.run("kubectl", "diff", "-f", "-", stdin=documents)
    assert (differing.returncode, differing.stdout) == (0, "")
    pools = space.get("llmsp")["items"]
    told = {pool["metadata"]["name"].removeprefix(PREFIX): _troubles(pool) for pool in pools}
    assert {name: reasons for name, reasons in told.items() if reasons} == {
        name: [reason] for name, reason in _TROUBLES.items()
    }

    back = {
        name: {**SMALLEST, "model": {**SMALLEST["model"], "name": CASES[name]["model"]["name"]}}
        for name in CASES
    }
    space.kubectl("apply", "-f", "-", stdin=_documents(space, back))
    _settle(space, len(CASES) + 1)
    assert operator.metric(REPAIRS) == repaired
    left = _children(space)
    unlike = {name: _unlike(left[name], left[TWIN]) for name in CASES if name not in _REMAINS}
    assert not {name: found for name, found in unlike.items() if found}


def _documents(space, specs):
    items = [a_pool(spec, name=f"{PREFIX}{name}", namespace=space.name) for name, spec in specs.items()]
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": items})


def _writes(space):
    return [one for one in space.plane.requests(USER) if one.writes and one.namespace == space.name]


def _settle(space, num_pools):
    """All statuses current, and nothing written any more."""

    def is_current():
        pools = space.get("llmsp")["items"]
        seen = [
            pool.get("status", {}).get("observedGeneration") == pool["metadata"]["generation"]
            for pool in pools
        ]
        return all(seen) and len(seen) == num_pools

    until(is_current, wait_s=120)
    ends_at = time.monotonic() + 120
    before, since = -1, time.monotonic()
    while time.monotonic() - since < STILL_S:
        assert time.monotonic() < ends_at, "there is always something to write"
        time.sleep(0.5)
        now = len(_writes(space))
        if now != before:
            before, since = now, time.monotonic()


def _troubles(pool):
    conditions = pool["status"]["conditions"]
    return [
        one["reason"]
        for one in conditions
        if one["type"] in ("Degraded", "Stalled") and one["status"] == "True"
    ]


def _children(space):
    """Pool → `Kind/name` → what counts of the child, its pool's name replaced."""
    found = {}
    for item in space.get(KINDS, "-l", "serving.sagesched.io/pool")["items"]:
        metadata = item["metadata"]
        pool = metadata["labels"]["serving.sagesched.io/pool"]
        annotations = dict(metadata.get("annotations", {}))
        annotations.pop("deployment.kubernetes.io/revision", None)
        content = {key: item[key] for key in ("spec", "data") if key in item}
        for key in ("clusterIP", "clusterIPs"):
            content.get("spec", {}).pop(key, None)
        text = _HASHES.sub("", json.dumps([metadata["labels"], annotations, content], sort_keys=True))
        child = f"{item['kind']}/{metadata['name'].replace(pool, 'POOL')}"
        found.setdefault(pool.removeprefix(PREFIX), {})[child] = text.replace(pool, "POOL")
    return found


def _unlike(one, other):
    names = sorted(one.keys() | other.keys())
    return [(name, one.get(name), other.get(name)) for name in names if one.get(name) != other.get(name)]

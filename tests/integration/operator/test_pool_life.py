"""A pool's life against a real API server: made, changed, put right, suspended, deleted."""

from __future__ import annotations

import json
import time

import pytest
import yaml
from operator_process import USER, until
from pool_cases import SMALLEST, merged

pytestmark = pytest.mark.usefixtures("operator")

ALWAYS = {
    "Deployment/llama",
    "Service/llama",
    "ConfigMap/llama-gateway",
    "ServiceAccount/llama",
    "PodDisruptionBudget/llama",
    "NetworkPolicy/llama",
}
KINDS = "deployment,service,configmap,serviceaccount,pdb,networkpolicy,hpa,controllerrevision"


def children(space):
    return {name for name in space.names(KINDS) if not name.startswith("ControllerRevision")}


def test_a_pool_gets_its_objects_with_few_writes(space):
    before = len(space.plane.requests(USER))
    space.apply(SMALLEST)
    status = space.wait_made()
    assert children(space) == ALWAYS
    assert status["revision"]
    assert status["selector"] == "serving.sagesched.io/pool=llama"
    assert status["address"] == f"llama.{space.name}.svc:8001"
    time.sleep(1)
    writes = [
        request
        for request in space.plane.requests(USER)[before:]
        if request.verb in ("create", "update", "patch", "delete") and request.namespace == space.name
    ]
    assert len(writes) <= len(ALWAYS) + 1 + 5, writes


def test_status_names_what_the_pods_wait_for(space):
    space.apply(SMALLEST)
    space.wait_made()
    ready = space.wait_condition("Ready", reason="WaitingForNode")
    assert ready["status"] == "False"
    assert "no node can take a pod" in ready["message"]


def test_a_model_that_is_not_what_its_digest_says_is_told(space):
    digest = "sha256:" + "0" * 64
    space.apply(merged(SMALLEST, {"model": {"digest": digest}}))
    space.wait_made()
    (pod,) = space.pods()
    verify = next(one for one in pod["spec"]["initContainers"] if one["name"] == "verify-model")
    assert verify["args"] == ["/source", "--expect", digest]
    assert verify["terminationMessagePolicy"] == "FallbackToLogsOnError"
    said = "sagesched-gateway: /source: its files have the digest sha256:1, not sha256:0"
    space.set_status("pod", pod["metadata"]["name"], _failing_at_first(verify, said))
    told = space.wait_condition("ModelReady", reason="DigestMismatch")
    assert (told["status"], told["message"]) == ("False", said)
    assert space.condition("Degraded")["reason"] == "DigestMismatch"


def test_it_is_ready_when_the_pods_are(space):
    space.apply(merged(SMALLEST, {"replicas": 2}))
    space.wait_made(replicas=2)
    for pod in space.pods():
        space.make_ready(pod)
    status = space.wait_status(lambda status: status["readyReplicas"] == 2)
    conditions = {one["type"]: (one["status"], one["reason"]) for one in status["conditions"]}
    assert conditions["Ready"] == ("True", "AllReplicasReady")
    assert conditions["Progressing"] == ("False", "Settled")
    assert conditions["ModelReady"] == ("True", "AllReplicasReady")
    events = space.get("events")["items"]
    assert "AllReplicasReady" in {event["reason"] for event in events}


def test_a_change_reaches_the_children_within_two_seconds(space):
    space.apply(SMALLEST)
    space.wait_made()
    revision = space.get("llmsp", "llama")["status"]["revision"]
    space.apply(merged(SMALLEST, {"runtime": {"image": "example.com/triton:2"}}))
    changed_at = time.monotonic()
    until(lambda: space.image() == "example.com/triton:2")
    assert time.monotonic() - changed_at < 2
    status = space.wait_status(lambda status: status["revision"] != revision)
    assert {f"ControllerRevision/llama-{one}" for one in (revision, status["revision"])} <= space.names(KINDS)


def test_settings_that_apply_at_once_roll_no_pod(space):
    space.apply(SMALLEST)
    before = space.wait_made()
    template = space.get("deployment", "llama")["spec"]["template"]
    space.apply(merged(SMALLEST, {"scheduling": {"policy": "fcfs"}, "gateway": {"queue": {"requests": 7}}}))
    until(lambda: _settings(space)["scheduling"]["policy"] == "fcfs")
    assert _settings(space)["limits"]["queuedRequests"] == 7
    assert space.get("deployment", "llama")["spec"]["template"] == template
    assert space.get("llmsp", "llama")["status"]["revision"] == before["revision"]


def test_settings_that_need_new_pods_roll_them(space):
    space.apply(SMALLEST)
    space.wait_made()
    space.apply(merged(SMALLEST, {"gateway": {"inFlight": 16}}))
    until(lambda: _settings(space)["engine"]["slots"] == 16)
    until(lambda: space.get("deployment", "llama")["metadata"]["generation"] == 2)


@pytest.mark.parametrize(
    ("kind", "name", "patch", "path", "wanted"),
    [
        ("deployment", "llama", {"spec": {"replicas": 5}}, ("spec", "replicas"), 1),
        ("service", "llama", {"spec": {"selector": {"a": "b"}}}, ("spec", "selector", "a"), None),
        (
            "networkpolicy",
            "llama",
            {"spec": {"ingress": []}},
            ("spec", "ingress", 0, "ports", 0, "port"),
            8001,
        ),
        ("configmap", "llama-gateway", {"data": {"gateway.yaml": ""}}, ("metadata", "name"), "llama-gateway"),
        ("pdb", "llama", {"spec": {"maxUnavailable": 0}}, ("spec", "maxUnavailable"), 1),
    ],
)
def test_what_somebody_changed_is_put_right(space, kind, name, patch, path, wanted):
    space.apply(SMALLEST)
    space.wait_made()
    before = space.get(kind, name)
    space.kubectl("patch", kind, name, "--type=merge", "-p", json.dumps(patch))

    def value():
        found = space.get(kind, name)
        for step in path:
            try:
                found = found[step]
            except (KeyError, IndexError):
                return None
        return found

    until(lambda: value() == wanted)
    if kind == "configmap":
        until(lambda: space.get(kind, name)["data"] == before["data"])


@pytest.mark.parametrize("kind", ["deployment", "service", "pdb", "networkpolicy", "serviceaccount"])
def test_what_somebody_deleted_comes_back(space, kind):
    space.apply(SMALLEST)
    space.wait_made()
    uid = space.get(kind, "llama")["metadata"]["uid"]
    space.kubectl("delete", kind, "llama", "--wait=false")
    until(lambda: (found := space.find(kind, "llama")) and found["metadata"]["uid"] != uid)


def test_what_is_no_longer_wanted_goes(space):
    scaled = merged(SMALLEST, {"scaling": {"actuator": "HPA", "maxReplicas": 4}})
    space.apply(scaled)
    until(lambda: space.find("hpa", "llama"))
    space.apply(merged(SMALLEST, {"security": {"networkPolicy": "Open"}}))
    until(lambda: not space.find("hpa", "llama"))
    until(lambda: not space.find("networkpolicy", "llama"))
    assert space.find("deployment", "llama")


def test_suspend_ends_the_pods_and_keeps_the_rest(space):
    space.apply(SMALLEST)
    space.wait_made()
    space.apply(merged(SMALLEST, {"suspend": True}))
    until(lambda: not space.pods() and space.condition("Ready").get("reason") == "Suspended")
    assert space.condition("Ready")["status"] == "True"
    assert children(space) == ALWAYS
    space.apply(SMALLEST)
    until(lambda: len(space.pods()) == 1)


def test_the_scale_subresource_moves_the_pods(space):
    space.apply(SMALLEST)
    space.wait_made()
    space.kubectl("scale", "llmsp", "llama", "--replicas=3")
    until(lambda: len(space.pods()) == 3)
    scale = json.loads(
        space.plane.kubectl(
            "get",
            "--raw",
            f"/apis/serving.sagesched.io/v1alpha1/namespaces/{space.name}/llmservingpools/llama/scale",
        )
    )
    assert scale["spec"]["replicas"] == 3
    assert scale["status"]["selector"] == "serving.sagesched.io/pool=llama"


def test_the_operator_writes_nothing_back_and_diff_is_empty(space, tmp_path):
    space.apply(SMALLEST)
    space.wait_made()
    pool = space.get("llmsp", "llama")
    assert set(pool["metadata"].get("annotations", {})) == {
        "kubectl.kubernetes.io/last-applied-configuration"
    }
    assert "finalizers" not in pool["metadata"]
    assert pool["metadata"]["generation"] == 1
    file = tmp_path / "pool.yaml"
    document = {key: pool[key] for key in ("apiVersion", "kind")} | {
        "metadata": {"name": "llama", "namespace": space.name},
        "spec": SMALLEST,
    }
    file.write_text(yaml.safe_dump(document))
    assert space.plane.run("kubectl", "diff", "-f", str(file)).returncode == 0


def test_deletion_leaves_nothing(space):
    space.apply(SMALLEST)
    space.wait_made()
    space.kubectl("delete", "llmsp", "llama", "--timeout=20s")
    until(lambda: not space.names(KINDS + ",pods"))


def test_orphans_stay_and_a_new_pool_takes_them_over(space):
    space.apply(SMALLEST)
    space.wait_made()
    uid = space.get("deployment", "llama")["metadata"]["uid"]
    space.kubectl("delete", "llmsp", "llama", "--cascade=orphan")
    until(lambda: "ownerReferences" not in space.get("deployment", "llama")["metadata"])
    time.sleep(1)
    assert children(space) == ALWAYS
    space.apply(SMALLEST)
    pool = space.wait_made()
    assert pool["revision"]
    until(lambda: space.get("deployment", "llama")["metadata"].get("ownerReferences"))
    assert space.get("deployment", "llama")["metadata"]["uid"] == uid


def test_a_pool_made_anew_at_once_gets_objects_of_its_own(space):
    space.apply(SMALLEST)
    space.wait_made()
    space.kubectl("delete", "llmsp", "llama")
    space.apply(SMALLEST)
    uid = space.get("llmsp", "llama")["metadata"]["uid"]

    def owned():
        found = space.find("deployment", "llama")
        owners = found["metadata"].get("ownerReferences", []) if found else []
        return [owner["uid"] for owner in owners] == [uid] and "deletionTimestamp" not in found["metadata"]

    until(owned)


@pytest.mark.parametrize(
    ("required", "named"),
    [
        ({"nodeSelectorTerms": []}, "nodeSelectorTerms: Required value"),
        ({"nodeSelectorTerm": []}, "nodeSelectorTerm: field not declared in schema"),
        ("zone-a", "requiredDuringSchedulingIgnoredDuringExecution: expected map"),
    ],
)
def test_what_the_api_server_refuses_is_told(space, required, named):
    affinity = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}}
    space.apply(merged(SMALLEST, {"podTemplate": {"affinity": affinity}}))
    stalled = space.wait_condition("Stalled", status="True")
    assert stalled["reason"] == "SpecRejected"
    assert named in stalled["message"]
    space.apply(SMALLEST)
    space.wait_condition("Stalled", status="False")


def test_what_was_refused_takes_no_place_in_the_history(space):
    def apply(affinity):
        change = {"podTemplate": {"affinity": affinity}, "rollout": {"revisionHistory": 1}}
        space.apply(merged(SMALLEST, change))

    apply({})
    space.wait_made()
    ran = space.names("controllerrevision")
    assert ran
    for mistake in ("first", "second"):
        apply({"nodeAffinity": {mistake: {}}})
        until(lambda: f".{mistake}:" in space.condition("Stalled").get("message", ""))  # noqa: B023
    assert space.names("controllerrevision") == ran


def test_the_number_of_claimed_gpus_can_be_changed(space):
    def claimed():
        listed = space.get("resourceclaimtemplates")["items"]
        return [one["spec"]["spec"]["devices"]["requests"][0]["exactly"]["count"] for one in listed]

    def apply(count):
        predictor = {"mode": "Shipped", "device": "GPU", "gpu": {"sharing": "Claim", "count": count}}
        space.apply(merged(SMALLEST, {"predictor": predictor}))

    apply(1)
    space.wait_made()
    [old] = space.pods()
    apply(2)
    until(lambda: sorted(claimed()) == [1, 2] and len(space.pods()) == 2)
    time.sleep(1)
    assert len(claimed()) == 2  # a pod may have to be made by the old one until all are replaced
    [new] = [pod for pod in space.pods() if pod["metadata"]["name"] != old["metadata"]["name"]]
    space.make_ready(new)
    until(lambda: claimed() == [2])
    [named] = [claim["resourceClaimTemplateName"] for claim in new["spec"]["resourceClaims"]]
    assert space.find("resourceclaimtemplate", named)
    assert space.condition("Stalled")["status"] == "False"


def test_a_claim_follows_the_limit_of_gpus_as_kubernetes_reads_it(space):
    def apply(limit):
        predictor = {"device": "GPU", "gpu": {"sharing": "Claim"}}
        limits = {"limits": {"nvidia.com/gpu": limit}}
        space.apply(merged(SMALLEST, {"predictor": predictor, "resources": limits}))

    apply("0.5")
    stalled = space.wait_condition("Stalled", status="True")
    assert stalled["reason"] == "SpecRejected"
    assert stalled["message"] == "spec.resources.limits.nvidia.com/gpu: must be a whole number, not '0.5'"
    apply("1.0")
    space.wait_condition("Stalled", status="False")
    [template] = space.get("resourceclaimtemplates")["items"]
    assert template["spec"]["spec"]["devices"]["requests"][0]["exactly"]["count"] == 1


def test_a_folder_of_the_node_is_not_allowed(space):
    source = {"model": {"source": {"pvc": None, "hostPath": {"path": "/data"}}}}
    space.apply(merged(SMALLEST, source))
    stalled = space.wait_condition("Stalled", status="True")
    assert stalled["reason"] == "NotAllowed"
    assert "pools.allowHostPath=true" in stalled["message"]
    assert not space.names("deployment")


def test_a_kind_that_is_not_installed_is_told(space):
    space.apply(merged(SMALLEST, {"scaling": {"actuator": "KEDA", "maxReplicas": 3}}))
    degraded = space.wait_condition("Degraded", reason="KindMissing")
    assert (
        degraded["message"]
        == "keda.sh/v1alpha1/ScaledObject is not installed; scaling.actuator: KEDA asks for it"
    )
    assert space.condition("ScalingActive")["reason"] == "ActuatorMissing"


def _failing_at_first(container, said):
    """What kubelet tells of a pod whose init container ends with an error."""
    waiting = {"waiting": {"reason": "CrashLoopBackOff"}}
    ended = {"terminated": {"exitCode": 1, "reason": "Error", "message": said}}
    one = {key: container[key] for key in ("name", "image")}
    one |= {"imageID": "", "ready": False, "restartCount": 2, "state": waiting, "lastState": ended}
    scheduled = {"type": "PodScheduled", "status": "True"}
    return {"phase": "Pending", "conditions": [scheduled], "initContainerStatuses": [one]}


def _settings(space):
    return yaml.safe_load(space.get("configmap", "llama-gateway")["data"]["gateway.yaml"])

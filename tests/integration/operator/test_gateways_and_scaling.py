"""What the gateways say reaches status and scalers: real gateways on loopback, as if they were in the pods.

Pods have addresses of 127.0.0.0/8, since a gateway's metrics port is the same everywhere.
"""

from __future__ import annotations

import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path

import grpc
import pytest
import yaml

sys.path.insert(0, str(Path(__file__).parents[2] / "unit" / "sagesched_gateway" / "tls"))

from authority import Authority, SecretMount
from operator_process import SYSTEM, OperatorProcess, until
from pool_cases import SMALLEST, merged

from sagesched_operator.control import external_scaler as wire

AUTHORITY = Authority()
SCALED = merged(
    SMALLEST,
    {
        "predictor": {"mode": "None"},
        "scaling": {"actuator": "HPA", "maxReplicas": 4, "targetBacklogSeconds": 5},
    },
)


@contextmanager
def gateway(folder, settings, ip, **listen):
    """`sagesched-gateway serve` with a pool's own settings, at a pod's address."""
    folder.mkdir(exist_ok=True)
    file = folder / "gateway.yaml"
    settings = settings | {
        "listen": {"grpc": f"{ip}:8001", "http": f"{ip}:8000", "metrics": f"{ip}:8002", **listen},
        "triton": dict.fromkeys(("grpc", "http", "metrics"), f"{ip}:9"),
    }
    file.write_text(yaml.safe_dump(settings))
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "sagesched_gateway.cli", "serve", "--config", str(file)],
            stdout=subprocess.PIPE,
            stderr=log,
        )
        try:
            assert process.stdout is not None
            assert process.stdout.readline(), (folder / "log").read_text()
            yield file
        finally:
            process.terminate()
            process.wait(20)
            process.stdout.close()


def settings_in(space):
    return yaml.safe_load(space.get("configmap", "llama-gateway")["data"]["gateway.yaml"])


def ask(operator, space, call, *, name="llama"):
    request = wire.ScaledObjectRef(name="so", namespace=space.name, scalerMetadata={"pool": name})
    answer = {"GetMetrics": wire.GetMetricsResponse, "IsActive": wire.IsActiveResponse}[call]
    if call == "GetMetrics":
        request = wire.GetMetricsRequest(scaledObjectRef=request, metricName="sagesched_pool_wanted_replicas")
    with grpc.insecure_channel(operator.scaler_address) as channel:
        method = channel.unary_unary(
            f"/{wire.SERVICE}/{call}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=answer.FromString,
        )
        return method(request, timeout=10)


def test_status_follows_the_gateways(space, operator, tmp_path):
    space.apply(SCALED)
    pod = until(space.pods)[0]
    with gateway(tmp_path / "a", settings_in(space), "127.0.7.1") as file:
        space.make_ready(pod, "127.0.7.1")
        status = space.wait_status(lambda status: status["policyInEffect"] == "gittins-boost")
        conditions = {one["type"]: (one["status"], one["reason"]) for one in status["conditions"]}
        assert conditions["SchedulingDegraded"] == ("False", "PolicyAsConfigured")
        # The signal is known, and nobody here answers the scaler's questions for it.
        assert conditions["ScalingActive"] in (("True", "SignalKnown"), ("False", "ActuatorFailing"))
        until(lambda: space.condition("ScalingActive")["reason"] == "ActuatorFailing", wait_s=60)
        assert "HPA" in space.condition("ScalingActive")["message"]  # in its own words
        assert conditions["PredictorCalibrated"] == ("Unknown", "PredictorOff")
        # The gateway here listens elsewhere than a pod's does, so its digest is another.
        assert status["settingsInEffect"] is False
        digest = space.get("configmap", "llama-gateway")["metadata"]["annotations"]
        annotations = until(lambda: space.get("pod", pod["metadata"]["name"])["metadata"].get("annotations"))
        wanted = digest["serving.sagesched.io/settings-digest"]
        assert annotations["serving.sagesched.io/settings-digest"] == wanted  # hastens kubelet
        settings = yaml.safe_load(file.read_text())
        file.write_text(yaml.safe_dump(settings | {"scheduling": {"policy": "fcfs"}}))
        space.wait_status(lambda status: status["policyInEffect"] == "fcfs")
        file.write_text("scheduling: {policy: lifo}")
        degraded = space.wait_condition("Degraded", reason="SettingsRefused")
        assert "unknown policy 'lifo'" in degraded["message"]


def test_certificates_that_a_gateway_refuses_show_at_the_pool(space, operator, tmp_path):
    space.apply(merged(SCALED, {"gateway": {"tls": {"secretName": "llama-tls"}}}))
    pod = until(space.pods)[0]
    first, second = (AUTHORITY.issue() for _ in range(2))
    secret = SecretMount(tmp_path / "tls", crt=first.certificate, key=first.key)
    settings = settings_in(space)
    assert settings["listen"]["tls"]["folder"] == "/etc/sagesched-tls"
    with gateway(tmp_path / "a", settings, "127.0.7.3", tls={"folder": str(secret.folder)}):
        space.make_ready(pod, "127.0.7.3")
        space.wait_status(lambda status: status["policyInEffect"] == "gittins-boost")
        secret.swap(crt=second.certificate, key=first.key)
        refused = space.wait_condition("Degraded", reason="CertificateRefused")
        assert "tls.key: is not the key of the first certificate" in refused["message"]
        secret.swap(crt=second.certificate, key=second.key)
        space.wait_condition("Degraded", status="False")


def test_the_external_scaler_tells_and_what_is_unknown_is_an_error(space, operator, tmp_path):
    with pytest.raises(grpc.RpcError) as unknown:
        ask(operator, space, "GetMetrics")
    assert unknown.value.code() is grpc.StatusCode.UNAVAILABLE
    assert "there is no pool" in unknown.value.details()
    space.apply(SCALED)
    pod = until(space.pods)[0]
    until(lambda: _details(operator, space) == "no pod is ready")
    assert space.condition("ScalingActive")["reason"] == "SignalUnknown"
    with gateway(tmp_path / "a", settings_in(space), "127.0.7.2"):
        space.make_ready(pod, "127.0.7.2")
        until(lambda: _details(operator, space) == "")
        assert ask(operator, space, "GetMetrics").metricValues[0].metricValue == 0  # idle, and known
        assert not ask(operator, space, "IsActive").result
        with pytest.raises(grpc.RpcError) as foreign:
            ask(operator, space, "GetMetrics", name="another")
        assert "there is no pool" in foreign.value.details()
        until(lambda: operator.metric("sagesched_pool_wanted_replicas") is not None)


def test_a_replica_that_waits_answers_scalers_as_the_leader_does(space, operator, tmp_path):
    """KEDA asks whichever replica the Service leads it to."""
    kubeconfig = space.plane.kubeconfig_of(SYSTEM, "sagesched-operator")
    waiting = OperatorProcess(kubeconfig, tmp_path / "waiting.log")
    try:
        waiting.wait_ready()
        with pytest.raises(grpc.RpcError) as unknown:
            ask(waiting, space, "GetMetrics")
        assert unknown.value.code() is grpc.StatusCode.UNAVAILABLE
        space.apply(SCALED)
        pod = until(space.pods)[0]
        until(lambda: _details(waiting, space) == "no pod is ready")
        with pytest.raises(grpc.RpcError) as unknown:
            ask(waiting, space, "IsActive")
        assert unknown.value.code() is grpc.StatusCode.UNAVAILABLE
        with gateway(tmp_path / "a", settings_in(space), "127.0.7.4"):
            space.make_ready(pod, "127.0.7.4")
            replicas = (waiting, operator)  # each asks the gateways for itself
            until(lambda: not any(_details(one, space) for one in replicas))
            answers = [ask(one, space, "GetMetrics").metricValues[0] for one in replicas]
            assert [answer.metricValue for answer in answers] == [0, 0]
        assert waiting.metric("sagesched_operator_leader") == 0
    finally:
        waiting.stop()


def test_shrinking_takes_the_pod_with_the_least_work(space, operator, tmp_path):
    space.apply(merged(SCALED, {"replicas": 3, "scaling": {"actuator": "None"}}))
    pods = until(lambda: len(found := space.pods()) == 3 and found)
    names = [pod["metadata"]["name"] for pod in pods]
    with ExitStack() as stack:
        for number, pod in enumerate(pods):
            ip = f"127.0.8.{number + 1}"
            if number:  # the first one's gateway has told nothing: it is spared before those that told
                stack.enter_context(gateway(tmp_path / str(number), settings_in(space), ip))
            space.make_ready(pod, ip)
        space.wait_status(
            lambda status: status["readyReplicas"] == 3 and status["policyInEffect"] != "unknown"
        )
        until(lambda: operator.metric('sagesched_operator_gateway_reports_total{outcome="read"}'))
        time.sleep(1.5)
        space.kubectl("scale", "llmsp", "llama", "--replicas=1")
        left = until(lambda: len(found := _alive(space)) == 1 and found)
        assert left == [names[0]]


def _alive(space):
    return [pod["metadata"]["name"] for pod in space.pods() if "deletionTimestamp" not in pod["metadata"]]


def _details(operator, space):
    try:
        ask(operator, space, "GetMetrics")
    except grpc.RpcError as error:
        return error.details()
    return ""


def test_the_horizontal_pod_autoscaler_points_at_the_pool(space, operator):
    space.apply(SCALED)
    spec = until(lambda: space.find("hpa", "llama"))["spec"]
    assert spec["scaleTargetRef"]["kind"] == "LLMServingPool"
    assert spec["metrics"][0]["external"]["metric"]["name"] == "sagesched_pool_wanted_replicas"
    # The controller reads the pool's scale once it has heard of the kind; it has no metrics adapter here.
    until(lambda: _is_able_to_scale(space), wait_s=90)


def _is_able_to_scale(space):
    conditions = space.get("hpa", "llama").get("status", {}).get("conditions") or []
    return ("AbleToScale", "True") in [(one["type"], one["status"]) for one in conditions]

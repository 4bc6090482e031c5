"""The test bed keeps its own promises."""

from __future__ import annotations

import socket
import time
from typing import Any

import pytest
from kubernetes import client, config

from cluster.control_plane import ControlPlane
from cluster.errors import ClusterError
from cluster.tools import Tools


def test_a_deployment_becomes_pods_that_the_scheduler_explains(control_plane: ControlPlane) -> None:
    control_plane.kubectl("create", "namespace", "explained")
    control_plane.kubectl("create", "deployment", "web", "--image=x", "-n", "explained")
    deadline = time.monotonic() + 60.0
    conditions: list[dict[str, Any]] = []
    while not conditions:
        assert time.monotonic() < deadline, "the scheduler says nothing"
        pods = control_plane.get("pod", "-lapp=web", "-n", "explained")["items"]
        conditions = [each for pod in pods for each in pod["status"].get("conditions", ())]
        time.sleep(0.1)
    assert "no nodes available" in conditions[0]["message"]


def test_a_service_account_may_do_only_what_rbac_says_and_the_audit_log_shows_it(
    control_plane: ControlPlane,
) -> None:
    control_plane.kubectl("create", "namespace", "narrow")
    control_plane.kubectl("create", "serviceaccount", "robot", "-n", "narrow")
    kubeconfig = control_plane.kubeconfig_of("narrow", "robot")

    with config.new_client_from_config(str(kubeconfig)) as api, pytest.raises(client.ApiException) as refused:
        client.CoreV1Api(api).list_namespaced_pod("narrow")
    assert refused.value.status == 403
    [request] = control_plane.requests("system:serviceaccount:narrow:robot")
    assert (request.verb, request.resource, request.namespace, request.code) == (
        "list",
        "pods",
        "narrow",
        403,
    )


def test_kubectl_errors_are_raised_with_its_own_words(control_plane: ControlPlane) -> None:
    with pytest.raises(ClusterError, match="NotFound"):
        control_plane.kubectl("get", "pod", "nobody")


def test_the_api_server_can_go_and_come_back_and_nothing_is_left_at_the_end(cluster_tools: Tools) -> None:
    with ControlPlane(tools=cluster_tools, schedules=False) as cluster:
        folder, port = cluster.layout.folder, cluster.layout.api_port
        cluster.kubectl("create", "configmap", "kept")
        cluster.stop_api_server()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), timeout=1)
        cluster.start_api_server()
        assert cluster.get("configmap", "kept")["metadata"]["name"] == "kept"
    assert not folder.exists()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=1)

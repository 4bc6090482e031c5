"""A control plane for the tests that share one; a test that stops its API server starts its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from cluster.control_plane import ControlPlane
from cluster.tools import Tools, ensure_tools


@pytest.fixture(scope="session")
def cluster_tools() -> Tools:
    """kubectl, helm, kubeconform and the control plane's own programs."""
    return ensure_tools()


@pytest.fixture(scope="session")
def control_plane(cluster_tools: Tools) -> Iterator[ControlPlane]:
    """etcd, kube-apiserver, kube-controller-manager and kube-scheduler with an audit log."""
    with ControlPlane(tools=cluster_tools) as running:
        yield running

"""The operator in the cluster: installed by the chart, as the docs say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cluster.errors import ClusterError
from cluster.kubectl import Cluster

ROOT = Path(__file__).parents[2]
NAMESPACE = "sagesched-system"
RELEASE = "sagesched"
OPERATORS = "app.kubernetes.io/name=sagesched-operator"
"""Label of the operator's pods."""


def is_installed(cluster: Cluster) -> bool:
    """Whether the release is there."""
    return cluster.run("helm", "status", RELEASE, "-n", NAMESPACE).returncode == 0


def ensure_installed(cluster: Cluster) -> None:
    """Install the operator, one replica, where it is not; returns when it is ready."""
    if not is_installed(cluster):
        arguments = ["install", RELEASE, str(ROOT / "charts" / "sagesched"), "-n", NAMESPACE]
        helm(cluster, *arguments, "--create-namespace")
    _wait_rolled_out(cluster)


def scale(cluster: Cluster, replicas: int) -> int:
    """Run that many operators; returns how many were asked for before, when all are ready or gone."""
    deployment: dict[str, Any] = cluster.get("-n", NAMESPACE, "deployment", RELEASE)
    cluster.kubectl("-n", NAMESPACE, "scale", "deployment", RELEASE, f"--replicas={replicas}")
    _wait_rolled_out(cluster)
    if not replicas:
        cluster.kubectl("-n", NAMESPACE, "wait", "pods", "-l", OPERATORS, "--for=delete", "--timeout=60s")
    return int(deployment["spec"]["replicas"])


def forget_kinds(cluster: Cluster) -> None:
    """Start the operator anew, so that it sees at once which kinds of others the cluster has now.

    It would look for itself every five minutes.
    """
    cluster.kubectl("-n", NAMESPACE, "rollout", "restart", f"deployment/{RELEASE}")
    _wait_rolled_out(cluster)


def remove(cluster: Cluster) -> None:
    """Take the release, its namespace and the definition of pools away: the cluster is as new."""
    if is_installed(cluster):
        helm(cluster, "uninstall", RELEASE, "-n", NAMESPACE, "--wait")
    cluster.kubectl("delete", "crd", "llmservingpools.serving.sagesched.io", "--ignore-not-found")
    cluster.kubectl("delete", "namespace", NAMESPACE, "--ignore-not-found")


def _wait_rolled_out(cluster: Cluster) -> None:
    cluster.kubectl("-n", NAMESPACE, "rollout", "status", f"deployment/{RELEASE}", "--timeout=120s")


def helm(cluster: Cluster, *arguments: str) -> str:
    """Run helm; returns what it prints.

    Raises:
        ClusterError: it failed.
    """
    done = cluster.run("helm", *arguments)
    if done.returncode:
        raise ClusterError(f"helm {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout

"""What goes wrong for operators and gateways, made to happen: peers out of reach, a webhook away, a fight."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from bed import container_process
from bed.installation import NAMESPACE, OPERATORS, RELEASE
from bed.pool import Pool
from cluster.debian import find
from cluster.errors import ClusterError
from cluster.kubectl import Cluster

_TABLE = "e2e"
_METRICS_PORT = 8002
_SETTINGS, _NONSENSE = "gateway.yaml", "nonsense: true"
_NOBODY = "https://127.0.0.1:9/nobody"


def operators(cluster: Cluster) -> list[dict[str, Any]]:
    """Pods of the operator."""
    items: list[dict[str, Any]] = cluster.get("-n", NAMESPACE, "pods", "-l", OPERATORS)["items"]
    return items


def leader(cluster: Cluster) -> str:
    """Name of the pod that holds the operator's Lease; empty where nobody does."""
    leases = cluster.get("-n", NAMESPACE, "leases")["items"]
    [lease] = [each for each in leases if each["metadata"]["name"].startswith(RELEASE)]
    return str(lease["spec"].get("holderIdentity", "")).partition("_")[0]


@contextmanager
def out_of_the_operators_reach(pool: Pool) -> Iterator[None]:
    """The pool's gateways drop what operators send them, as a network does that enforces a policy."""
    addresses = ", ".join(pod["status"]["podIP"] for pod in operators(pool.cluster))
    rule = f"ip saddr {{ {addresses} }} tcp dport {_METRICS_PORT} drop"
    chain = f"chain in {{ type filter hook input priority 0; {rule}; }}"
    pids = [container_process.pids_of(pod, "gateway")[0] for pod in pool.ready_pods()]
    _in_pods(pids, f"table inet {_TABLE} {{\n{chain}\n}}\n")
    try:
        yield
    finally:
        _in_pods(pids, f"delete table inet {_TABLE}\n")


@contextmanager
def webhook_away(pool: Pool) -> Iterator[None]:
    """Nothing can be written in the pool's namespace: an admission webhook is asked that is not there."""
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"]}
    webhook = {
        "name": "away.example.org",
        "clientConfig": {"url": _NOBODY},
        "rules": [rule | {"resources": ["configmaps", "services", "serviceaccounts"]}],
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": pool.namespace}},
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
        "timeoutSeconds": 1,
    }
    document = {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": pool.namespace},
        "webhooks": [webhook],
    }
    pool.cluster.kubectl("apply", "-f", "-", stdin=json.dumps(document))
    try:
        pool.wait(lambda: not _can_write(pool), "out of reach of its webhook", 20)
        yield
    finally:
        pool.cluster.kubectl("delete", "validatingwebhookconfiguration", pool.namespace)


def _can_write(pool: Pool) -> bool:
    probe = ("-n", pool.namespace, "create", "configmap", "probe", "--dry-run=server")
    return pool.cluster.run("kubectl", *probe).returncode == 0


def fight(pools: Iterable[Pool], rounds: int, pause_s: float) -> None:
    """Change a selector of each pool's Service, wait until it is put right and a while longer, and so on."""
    pools = list(pools)
    for number in range(rounds):
        for pool in pools:
            change = {"spec": {"selector": {"serving.sagesched.io/pool": f"another-{number}"}}}
            pool.kubectl("patch", "service", pool.name, "--type=merge", "-p", json.dumps(change))
        for pool in pools:
            pool.wait(lambda pool=pool: _selected(pool) == pool.name, "put right", 30)  # type: ignore[misc]
        time.sleep(pause_s)


def _selected(pool: Pool) -> str:
    selector: dict[str, str] = pool.get("service", pool.name)["spec"]["selector"]
    return selector["serving.sagesched.io/pool"]


def break_settings(pool: Pool) -> None:
    """Write into the gateways' settings what they cannot understand; the operator must be away."""
    broken = {"data": {_SETTINGS: f"{_settings(pool)}\n{_NONSENSE}\n"}}
    pool.kubectl("patch", "configmap", f"{pool.name}-gateway", "--type=merge", "-p", json.dumps(broken))
    have_volumes_looked_at(pool)


def has_broken_settings(pool: Pool) -> bool:
    """Whether the settings are still as `break_settings` has left them."""
    return _NONSENSE in _settings(pool)


def have_volumes_looked_at(pool: Pool) -> None:
    """Have kubelet bring changed ConfigMaps into the pods at once, as it does when the pod changes."""
    for pod in pool.pods():
        pool.kubectl("annotate", "pod", pod["metadata"]["name"], f"e2e/at={time.time()}", "--overwrite")


def _settings(pool: Pool) -> str:
    return str(pool.get("configmap", f"{pool.name}-gateway")["data"][_SETTINGS])


def certificate_for_a_day(pool: Pool, secret: str) -> None:
    """A Secret with a certificate that has a day to go."""
    done = subprocess.run(
        [
            *(find("openssl") or "openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1"),
            *("-subj", f"/CN={pool.name}", "-keyout", "-", "-out", "-"),
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    key, marker, certificate = done.stdout.partition("-----BEGIN CERTIFICATE-----")
    document = {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "kubernetes.io/tls",
        "metadata": {"name": secret, "namespace": pool.namespace},
        "stringData": {"tls.key": key, "tls.crt": marker + certificate},
    }
    pool.cluster.kubectl("apply", "-f", "-", stdin=json.dumps(document))


def _in_pods(pids: Iterable[int], rules: str) -> None:
    for pid in pids:
        command = ["nsenter", f"--net=/proc/{pid}/ns/net", find("nft") or "nft", "-f", "-"]
        done = subprocess.run(command, input=rules, capture_output=True, text=True, check=False)
        if done.returncode:
            raise ClusterError(f"nft in the pod of process {pid}: {done.stderr.strip()}")

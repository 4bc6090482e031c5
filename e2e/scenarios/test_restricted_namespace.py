"""Pod Security `restricted`, enforced: operator and pools run in such namespaces, with real traffic."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from bed.installation import NAMESPACE, RELEASE
from bed.load import Load
from bed.pool import Pool, emulated
from bed.record import Record
from bed.traffic import Traffic
from cluster.node.single_node import SingleNode

_RESTRICTED = "pod-security.kubernetes.io/enforce=restricted"
_OURS = "restricted-namespace"


@pytest.fixture
def restricted(installed: SingleNode) -> Iterator[Pool]:
    """A pool whose namespace, like the operator's, admits nothing that is not restricted."""
    cluster = installed
    cluster.kubectl("label", "namespace", NAMESPACE, _RESTRICTED, "--overwrite")
    cluster.kubectl("create", "namespace", _OURS)
    cluster.kubectl("label", "namespace", _OURS, _RESTRICTED)
    yield Pool(cluster, namespace=_OURS)
    cluster.kubectl("label", "namespace", NAMESPACE, _RESTRICTED.partition("=")[0] + "-")
    cluster.kubectl("delete", "namespace", _OURS, "--wait=false")


@pytest.mark.level(2)
@pytest.mark.timeout(300)
def test_restricted_namespace(restricted: Pool, record: Record) -> None:
    pool, cluster = restricted, restricted.cluster
    refused = cluster.run("kubectl", "-n", _OURS, "run", "root", "--image=localhost/pause:1")
    assert "violates PodSecurity" in refused.stderr  # the namespace does refuse
    cluster.kubectl("-n", NAMESPACE, "rollout", "restart", f"deployment/{RELEASE}")
    cluster.kubectl("-n", NAMESPACE, "rollout", "status", f"deployment/{RELEASE}", "--timeout=90s")
    pool.apply(emulated())
    pool.wait_settled()
    with Traffic(cluster, Load(target=pool.address())) as traffic:
        account = traffic.run_for(5.0)
    record.answered(account)
    assert account.problems == []
    assert account.errors == {}
    assert account.num_complete > 20
    [pod] = pool.ready_pods()
    for container in ("gateway", "triton"):
        user = pool.kubectl("exec", pod["metadata"]["name"], "-c", container, "--", "id", "-u").strip()
        written = cluster.run(
            *("kubectl", "-n", _OURS, "exec", pod["metadata"]["name"], "-c", container, "--"),
            *("sh", "-c", "echo x >/opt/x"),
        )
        assert user == "1000"
        assert "Read-only file system" in written.stderr
        record.proved(f"{container}: user {user}, read-only root")

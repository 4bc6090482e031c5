"""`helm upgrade` under load, from the previous release's chart and images to these: streams finish."""

from __future__ import annotations

import shlex
import time
from collections.abc import Iterator

import pytest

from bed.documented import commands_under
from bed.images import VERSION
from bed.installation import NAMESPACE, RELEASE, helm, remove
from bed.load import OPENAI, Load
from bed.pool import MODEL, Pool, emulated
from bed.previous import previous_release
from bed.record import Record
from bed.traffic import Traffic
from cluster.images import archives
from cluster.node.single_node import SingleNode

_BEFORE = "previous"
_OURS = "upgraded"


@pytest.fixture
def previous(cluster: SingleNode) -> Iterator[Pool]:
    """The previous release with a settled pool of two."""
    remove(cluster)
    pool = Pool(cluster, namespace=_OURS)
    try:
        _install_previous(cluster)
        cluster.kubectl("create", "namespace", _OURS)
        pool.apply(emulated(2))
        pool.wait_settled()
        yield pool
    finally:
        cluster.kubectl("delete", "namespace", _OURS, "--ignore-not-found", "--wait=false")
        remove(cluster)


def _install_previous(cluster: SingleNode) -> None:
    checkout = previous_release()
    built = archives(("operator", "gateway"), checkout)
    cluster.load(built.values())
    for name, archive in built.items():
        cluster.containers.tag(cluster.containers.name_of(archive), f"ghcr.io/sagesched/{name}:{_BEFORE}")
    values = f"image.tag={_BEFORE},pools.gatewayImage.tag={_BEFORE}"
    chart = str(checkout / "charts/sagesched")
    helm(cluster, "install", RELEASE, chart, "-n", NAMESPACE, "--create-namespace", "--set", values)
    cluster.kubectl("-n", NAMESPACE, "rollout", "status", f"deployment/{RELEASE}", "--timeout=120s")


@pytest.mark.own_node
@pytest.mark.level(2)
@pytest.mark.timeout(900)
def test_upgrade_from_previous_release(previous: Pool, record: Record) -> None:
    pool = previous
    assert _gateways(pool) == {f"ghcr.io/sagesched/gateway:{_BEFORE}"}
    grpc = Load(target=pool.address(), tokens=(50, 200), name="grpc")
    http = Load(target=pool.address(), tokens=(50, 200), name="http", client=OPENAI, model=MODEL)
    with Traffic(pool.cluster, grpc) as grpc_clients, Traffic(pool.cluster, http) as http_clients:
        time.sleep(3.0)
        began = time.monotonic()
        [_, *documented] = shlex.split(commands_under("docs/guides/install.md", "## Upgrade")[0])
        # The chart's own version of the images, as who has not set another has them.
        helm(pool.cluster, *documented, "--set", "image.tag=,pools.gatewayImage.tag=")
        pool.wait(lambda: _gateways(pool) == {f"ghcr.io/sagesched/gateway:{VERSION}"}, "upgraded", 240)
        pool.wait_settled()
        record.proved(f"helm upgrade to all pods of the new release: {time.monotonic() - began:.1f} s")
        time.sleep(3.0)
        accounts = [clients.end() for clients in (grpc_clients, http_clients)]
    for load, account in zip((grpc, http), accounts, strict=True):
        record.answered(account, load.client)
        assert account.problems == []
        assert account.errors == {}
        assert account.num_complete > 20


def _gateways(pool: Pool) -> set[str]:
    """Images of the gateways of all pods."""
    return {
        container["image"]
        for pod in pool.pods()
        for container in pod["spec"]["initContainers"]
        if container["name"] == "gateway"
    }

"""A new user: an empty cluster, the quickstart's commands as they stand there, and a streamed answer."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import pytest

from bed.documented import commands_under
from bed.installation import NAMESPACE, remove
from bed.load import OPENAI, Load
from bed.pool import Pool
from bed.record import Record
from bed.terminal import Terminal
from bed.traffic import Traffic
from bed.usage import usage
from cluster.node.single_node import SingleNode


@pytest.fixture
def empty_cluster(cluster: SingleNode) -> Iterator[SingleNode]:
    remove(cluster)
    yield cluster
    cluster.run("kubectl", "delete", "llmsp", "emulated", "--ignore-not-found")


@pytest.mark.own_node
@pytest.mark.level(1)
@pytest.mark.timeout(600)
def test_helm_install_then_first_tokens(empty_cluster: SingleNode, record: Record) -> None:
    cluster = empty_cluster
    commands = commands_under("docs/guides/kubernetes.md", "## Without a GPU")
    assert commands[0].startswith("helm install")
    began, printed = time.monotonic(), ""
    with Terminal(cluster) as terminal:
        for command in commands:
            with record.step(f"$ {command[:80]}"):
                printed = terminal.run(command)
    pieces = _pieces(printed)
    record.proved(
        f"helm install to streamed answer: {time.monotonic() - began:.1f} s; {len(pieces)} pieces streamed"
    )
    assert len(pieces) > 10
    assert all(piece["choices"][0]["text"] for piece in pieces[:10])

    pool = Pool(cluster, "emulated")
    for load in (
        Load(target=pool.address(), name="grpc"),
        Load(target=pool.address(), name="openai", client=OPENAI, model="emulated-8b"),
    ):
        with Traffic(cluster, load) as traffic:
            account = traffic.run_for(5.0)
        record.answered(account, load.client)
        assert account.problems == []
        assert account.errors == {}
        assert account.num_complete > 20
    pool.wait(lambda: pool.condition("PredictorCalibrated").get("status") == "True", "predicting", 60)
    for namespace in (NAMESPACE, pool.namespace):
        record.proved(f"{namespace}: {usage(cluster, namespace)}")


def _pieces(printed: str) -> list[dict[str, list[dict[str, str]]]]:
    lines = [line.removeprefix("data: ") for line in printed.splitlines() if line.startswith("data: ")]
    assert lines[-1] == "[DONE]", printed
    return [json.loads(line) for line in lines[:-1]]

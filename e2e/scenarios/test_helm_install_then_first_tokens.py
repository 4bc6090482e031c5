"""A new user: an empty cluster, the quickstart's commands as they stand there, and a streamed answer."""

from __future__ import annotations

import json
import shlex
import subprocess
import time
from collections.abc import Iterator

import pytest

from bed.documented import ROOT, commands_under
from bed.installation import NAMESPACE, remove
from bed.load import OPENAI, Load
from bed.pool import Pool
from bed.record import Record
from bed.traffic import Traffic
from bed.usage import usage
from cluster.node.single_node import SingleNode

_TIMEOUT_S = 300


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
    served = [command for command in commands if "curl" not in command and "port-forward" not in command]
    [forward] = [command for command in commands if "port-forward" in command]
    [curl] = [command for command in commands if command.startswith("curl")]
    assert served[0].startswith("helm install")
    began = time.monotonic()
    for command in served:
        with record.step(f"$ {command}"):
            _run(cluster, command)
    with _background(cluster, forward), record.step("$ curl ..., first token"):
        pieces = _first_pieces(cluster, curl)
    record.proved(
        f"helm install to first token: {time.monotonic() - began:.1f} s; {len(pieces)} pieces streamed"
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


def _run(cluster: SingleNode, command: str) -> None:
    done = subprocess.run(
        cluster.inside("bash", "-c", command),
        cwd=ROOT,
        env=cluster.environment(),
        capture_output=True,
        text=True,
        timeout=_TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"


class _background:  # noqa: N801 - reads as a function
    """A command that the user starts with `&` and ends when done."""

    def __init__(self, cluster: SingleNode, command: str) -> None:
        words = shlex.split(command.rstrip("& "))
        self._process = subprocess.Popen(
            cluster.inside(*words), cwd=ROOT, env=cluster.environment(), stdout=subprocess.PIPE, text=True
        )

    def __enter__(self) -> None:
        assert self._process.stdout is not None
        self._process.stdout.readline()  # "Forwarding from ..."

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()


def _first_pieces(cluster: SingleNode, command: str) -> list[dict[str, list[dict[str, str]]]]:
    done = subprocess.run(
        cluster.inside("bash", "-c", command),
        env=cluster.environment(),
        capture_output=True,
        text=True,
        timeout=_TIMEOUT_S,
        check=True,
    )
    lines = [line.removeprefix("data: ") for line in done.stdout.splitlines() if line.startswith("data: ")]
    assert lines[-1] == "[DONE]", done.stdout
    return [json.loads(line) for line in lines[:-1]]

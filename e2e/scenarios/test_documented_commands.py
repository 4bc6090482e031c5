"""Somebody who reads: the commands of README, guides and runbooks, run as they stand there."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bed import troubles
from bed.documented import ROOT, commands_under, sections, text_under
from bed.installation import NAMESPACE, RELEASE, remove
from bed.pool import Pool, container_statuses, emulated, restarts
from bed.record import Record
from bed.terminal import Terminal
from cluster.foreign_kinds import ensure_foreign_kinds
from cluster.node.single_node import SingleNode

_INSTALL, _QUICKSTART = "docs/guides/install.md", "docs/guides/kubernetes.md"
_OTHERS = ("monitoring.coreos.com", "keda.sh")
"""Kinds that commands ask for besides ours."""
_RIGHTS = ("docs/runbooks/SageSchedOperatorWithoutLeader.md", "# SageSchedOperatorWithoutLeader")
_NAME, _SECRET = "llama", "documented-tls"


@pytest.fixture
def empty_cluster(cluster: SingleNode) -> Iterator[SingleNode]:
    """Without us, with the kinds of Prometheus' operator and of KEDA."""
    remove(cluster)
    kinds = [file for file in ensure_foreign_kinds() if any(each in file.name for each in _OTHERS)]
    for file in kinds:
        cluster.kubectl("apply", "--server-side", "-f", str(file))
    yield cluster
    remove(cluster)
    for file in kinds:
        cluster.kubectl("delete", "-f", str(file))


@pytest.mark.own_node
@pytest.mark.level(2)
@pytest.mark.timeout(600)
def test_documented_commands(empty_cluster: SingleNode, tmp_path: Path, record: Record) -> None:
    cluster = empty_cluster
    programs = {"PATH": f"{Path(sys.executable).parent}:{cluster.environment()['PATH']}"}
    with Terminal(cluster, environment=programs) as terminal:
        _install(terminal, record)
        with Terminal(cluster, ROOT / "docs" / "examples", programs) as in_examples:
            _a_pool(in_examples, record)
        _monitoring(terminal, record)
        pool = _troubled_pool(cluster)
        _runbooks(terminal, pool, record)
        _roll_back(terminal, pool, record)
        _uninstall(terminal, record)
    with Terminal(cluster, tmp_path, programs) as elsewhere:
        _in_front_of_a_triton(elsewhere, tmp_path, record)


def _install(terminal: Terminal, record: Record) -> None:
    """README and guide say the same; the definition was applied by hand before, and is handed over."""
    terminal.run("kubectl apply --server-side -f charts/manifests/crd.yaml")
    _, *hand_over = commands_under(_INSTALL, "## Upgrade")
    install, *test = commands_under(_QUICKSTART, "## 1. The operator")
    first, *others = commands_under("README.md", "## On Kubernetes")
    assert first == install
    for command in (*hand_over, install, *test, *others):
        terminal.run(command)
    terminal.run("kubectl delete -f docs/examples/emulated.yaml")
    record.proved(
        "README and guide: the operator is installed over a definition applied by hand; `helm test` passes"
    )


def _a_pool(terminal: Terminal, record: Record) -> None:
    """The example for a GPU, which nobody has here."""
    render, apply, watch = commands_under(_QUICKSTART, "## 2. A pool")
    assert "kind: Deployment" in terminal.run(render)
    terminal.run(apply)
    assert _NAME in terminal.run(f"{watch} &")
    terminal.run("kubectl delete llmsp llama")
    record.proved("guide: a pool is rendered, applied and watched")


def _monitoring(terminal: Terminal, record: Record) -> None:
    for command in commands_under(_QUICKSTART, "## 4. See what it does"):
        terminal.run(command)
    terminal.run(f"kubectl -n {NAMESPACE} rollout status deployment/{RELEASE} --timeout=120s")
    record.proved("guide: monitors, rules and dashboards are installed by `helm upgrade`")


def _troubled_pool(cluster: SingleNode) -> Pool:
    """With all that runbooks look at: a certificate, and containers that have crashed before."""
    pool = Pool(cluster, _NAME)
    troubles.certificate_for_a_day(pool, _SECRET)
    spec = emulated()
    spec["gateway"] |= {"tls": {"secretName": _SECRET}}
    pool.apply(spec)
    pool.wait_settled()
    [pod] = pool.ready_pods()
    pool.crash(pod, "triton")
    for operator in troubles.operators(cluster):
        [status] = container_statuses(operator)
        cluster.containers.kill(status["containerID"])
    pool.wait(lambda: "triton" in restarts(pool.pods()[0]), "started again", 60)
    pool.wait(lambda: all(restarts(each) for each in troubles.operators(cluster)), "looked after again", 60)
    pool.wait(lambda: len(pool.ready_pods()) == 1, "serving again", 60)
    return pool


def _runbooks(terminal: Terminal, pool: Pool, record: Record) -> None:
    [pod] = pool.ready_pods()
    values = {
        "NAMESPACE": pool.namespace,
        "POD": pod["metadata"]["name"],
        "SECRET": _SECRET,
        "KIND NAME": f"deployment {pool.name}",
        "NAME": pool.name,
    }
    num = 0
    runbooks = sorted((ROOT / "docs" / "runbooks").glob("*.md"))
    for runbook in runbooks:
        for commands in sections(f"docs/runbooks/{runbook.name}").values():
            with Terminal(pool.cluster) as one:
                for command in commands:
                    one.run(_as_meant(command, values))
                    num += 1
    record.proved(f"{num} commands of {len(runbooks)} runbooks are answered")
    answer = terminal.run(_as_meant(commands_under(*_RIGHTS)[-1], values))
    assert answer.strip() == "yes"


def _as_meant(command: str, values: dict[str, str]) -> str:
    """With names in place of placeholders; a search may find nothing, but must have something to search."""
    for placeholder, value in values.items():
        command = command.replace(placeholder, value)
    return f"{command}; test ${{PIPESTATUS[0]}} -eq 0" if "| grep" in command else command


def _roll_back(terminal: Terminal, pool: Pool, record: Record) -> None:
    revisions, spec = commands_under(_INSTALL, "## Roll a pool back")
    [*_, latest] = terminal.run(revisions).splitlines()
    name = latest.split()[0]
    assert name.startswith(f"{pool.name}-")
    example = next(word for word in spec.split() if word.startswith(f"{pool.name}-"))
    assert "runtime" in terminal.run(spec.replace(example, name))
    record.proved("guide: a pool's earlier specs are listed and shown")


def _uninstall(terminal: Terminal, record: Record) -> None:
    terminal.run(f"helm uninstall {RELEASE} -n {NAMESPACE}")
    for command in commands_under(_INSTALL, "## Uninstall"):
        terminal.run(command)
    record.proved("guide: uninstalled")


def _in_front_of_a_triton(terminal: Terminal, folder: Path, record: Record) -> None:
    """README, without Kubernetes."""
    (folder / "gateway.yaml").write_text(text_under("README.md", "## In front of your own Triton", "yaml"))
    _, triton, check, serve = commands_under("README.md", "## In front of your own Triton")
    terminal.run(triton)
    assert "gittins-boost" in terminal.run(check)
    terminal.run(f"{serve} &")
    request = '{"model": "ensemble", "prompt": "Hello", "max_tokens": 5}'
    ask = "curl -sSf --retry 20 --retry-delay 1 --retry-all-errors"
    answer = terminal.run(
        f"{ask} localhost:8000/v1/completions -H 'Content-Type: application/json' -d '{request}'"
    )
    assert '"text"' in answer
    record.proved("README: a gateway in front of a Triton, without Kubernetes, answers")

"""What kind and docker are asked: programs of their names write down how they are called."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from bed import provider
from bed.images import NAMES, VERSION, load_images_by_docker
from cluster import kind
from cluster.errors import ClusterError
from cluster.kind import CONTEXT, KindCluster

_FAKE = """#!{python}
import json, os, sys
with open({calls!r}, "a") as calls:
    attests = os.environ.get("BUILDX_NO_DEFAULT_ATTESTATIONS", "")
    calls.write(json.dumps([os.path.basename(sys.argv[0]), *sys.argv[1:], attests]) + "\\n")
print({prints!r} if {only!r} in sys.argv else "")
"""
Calls = Callable[[], list[list[str]]]


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Calls:
    """Of docker and kind, so far; docker's node is a process of this machine: this one."""
    written = tmp_path / "calls"
    written.touch()
    for program, (only, prints) in {"docker": ("inspect", str(os.getpid())), "kind": ("-", "")}.items():
        file = tmp_path / program
        file.write_text(_FAKE.format(python=sys.executable, calls=str(written), only=only, prints=prints))
        file.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("SAGESCHED_CACHE", str(tmp_path))
    monkeypatch.delenv(provider.CONTEXT_VARIABLE, raising=False)
    return lambda: [json.loads(line) for line in written.read_text().splitlines()]


def test_a_cluster_is_made_and_deleted_beside_the_users_own(calls: Calls, tmp_path: Path) -> None:
    cluster = KindCluster()
    config = f"--kubeconfig={tmp_path}/kind.kubeconfig"
    assert not cluster.is_up
    cluster.up()
    cluster.down()
    assert [call[:-1] for call in calls()] == [
        ["kind", "get", "clusters"],
        ["kind", "create", "cluster", "--name=sagesched", config, "--wait=180s"],
        ["kind", "delete", "cluster", "--name=sagesched", config],
    ]


def test_images_are_built_without_attestations_and_loaded_at_once(calls: Calls) -> None:
    load_images_by_docker(KindCluster())
    *builds, load = calls()
    for name, build in zip(NAMES, builds, strict=True):
        program, verb, file, tag, context, attests = build
        assert (program, verb, attests) == ("docker", "build", "1")
        assert Path(file.removeprefix("--file=")).samefile(f"{context}/images/{name}/Dockerfile")
        assert tag == f"--tag=ghcr.io/sagesched/{name}:{VERSION}"
    images = [f"ghcr.io/sagesched/{name}:{VERSION}" for name in NAMES]
    assert load[:-1] == ["kind", "load", "docker-image", "--name=sagesched", *images]


def test_clients_run_in_the_nodes_network(calls: Calls, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    cluster = KindCluster()
    cluster.enter()
    assert calls()[-1][:-1] == ["docker", "inspect", "--format={{.State.Pid}}", "sagesched-control-plane"]
    assert cluster.inside("id") == ["nsenter", f"--net=/proc/{os.getpid()}/ns/net", "id"]


def test_who_cannot_enter_it_is_told(calls: Calls, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(ClusterError, match="only root"):
        KindCluster().enter()


def test_a_failure_is_told_with_its_last_lines(calls: Calls, tmp_path: Path) -> None:
    (tmp_path / "kind").write_text("#!/bin/sh\necho 'ERROR: no space left' >&2\nexit 1\n")
    with pytest.raises(ClusterError, match="kind create cluster failed:\nERROR: no space left"):
        KindCluster().up()


@pytest.mark.parametrize(
    ("user", "has_apt", "has_docker", "place"),
    [
        (0, True, True, ""),
        (0, False, True, CONTEXT),
        (1000, True, True, CONTEXT),
        (1000, True, False, ""),
    ],
)
def test_kind_is_for_where_the_node_cannot_be(
    calls: Calls, monkeypatch: pytest.MonkeyPatch, user: int, has_apt: bool, has_docker: bool, place: str
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: user)
    monkeypatch.setattr(provider.shutil, "which", lambda _: "/usr/bin/apt-get" if has_apt else None)
    monkeypatch.setattr(kind, "is_usable", lambda: has_docker)
    assert provider.place() == place
    monkeypatch.setenv(provider.CONTEXT_VARIABLE, "mine")
    assert provider.place() == "mine"


def test_it_is_usable_where_docker_answers(calls: Calls, tmp_path: Path) -> None:
    assert kind.is_usable()
    (tmp_path / "docker").write_text("#!/bin/sh\nexit 1\n")
    assert not kind.is_usable()

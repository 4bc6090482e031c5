"""Which programs are taken: given ones, ones on PATH of the pinned version, else the cache's."""

from __future__ import annotations

from pathlib import Path

import pytest

from cluster.addon_families import ADDON_FAMILIES
from cluster.families import FAMILIES, NODE_FAMILIES, Family
from cluster.tools import ensure_tools


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache in which every family is built already, and a PATH with nothing on it."""
    monkeypatch.delenv("KUBEBUILDER_ASSETS", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path / "path"))
    for family in FAMILIES:
        (tmp_path / "cache" / family.key).mkdir(parents=True)
    return tmp_path / "cache"


def _program(folder: Path, name: str, prints: str) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\necho '{prints}'\n")
    path.chmod(0o755)
    return path


def test_what_is_built_is_not_built_again(cache: Path) -> None:
    tools = ensure_tools(cache)
    assert set(tools.paths) == {program for family in FAMILIES for program in family.programs}
    assert all(path.is_relative_to(cache) for path in tools.paths.values())


def test_a_program_on_path_is_taken_in_the_pinned_version_only(cache: Path, tmp_path: Path) -> None:
    helm = next(family for family in FAMILIES if family.name == "helm")
    path = _program(tmp_path / "path", "helm", f"v{helm.version}+g123")
    assert ensure_tools(cache)["helm"] == str(path)
    _program(tmp_path / "path", "helm", f"v{helm.version}1")
    assert ensure_tools(cache)["helm"] == str(cache / helm.key / "helm")


def test_a_given_program_is_taken_as_it_is(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = _program(tmp_path / "given", "etcd", "whatever")
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(tmp_path / "given"))
    tools = ensure_tools(cache)
    assert tools["etcd"] == str(path)
    assert Path(tools["kube-apiserver"]).is_relative_to(cache)


_ALL = (*FAMILIES, *NODE_FAMILIES, *ADDON_FAMILIES)


@pytest.mark.parametrize("family", _ALL, ids=lambda family: family.name)
def test_every_program_is_a_tool_of_its_module(family: Family) -> None:
    text = (family.folder / "go.mod").read_text()
    assert all(package == "." or package in text for package in family.programs.values())


def test_kubernetes_is_stamped_with_its_version() -> None:
    family = FAMILIES[0]
    assert f"gitVersion=v{family.version} " in family.link_flags()
    assert f"gitMinor={family.version.split('.')[1]} " in family.link_flags()


def test_the_node_is_of_the_control_planes_version() -> None:
    assert NODE_FAMILIES[0].module == FAMILIES[0].module
    assert NODE_FAMILIES[0].version == FAMILIES[0].version

"""How Triton gets into the cache: once, whole, and with reasons where it cannot."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

import pytest

from cluster import tools
from sagesched_emulator import triton_install
from sagesched_emulator.triton_install import TritonInstallError, ensure_triton, find_embedded_python

STUB = "pytriton/tritonserver/python_backend_stubs/{}/triton_python_backend_stub"


class FakePip:
    """Unpacks something that looks like the packages; every so many-th time it fails."""

    def __init__(self, failing: bool = False) -> None:
        self.num_calls = 0
        self.failing = failing

    def __call__(self, command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        self.num_calls += 1
        if self.failing:
            return subprocess.CompletedProcess(command, 1, "", "line\nERROR: no matching distribution\n")
        target = Path(command[command.index("--target") + 1])
        target.mkdir()
        if "nvidia-pytriton" in command[-1]:
            server = target / "pytriton" / "tritonserver"
            stub = target / STUB.format(f"{sys.version_info.major}.{sys.version_info.minor}")
            for file in (
                server / "bin" / "tritonserver",
                stub,
                server / "backends" / "python" / "backend.so",
            ):
                file.parent.mkdir(parents=True)
                file.write_text(file.name)
        return subprocess.CompletedProcess(command, 0, "", "")


@pytest.fixture
def pip(monkeypatch: pytest.MonkeyPatch) -> FakePip:
    fake = FakePip()
    monkeypatch.setattr(triton_install.subprocess, "run", fake)
    return fake


def test_installation_is_whole_and_executable(pip: FakePip, tmp_path: Path) -> None:
    installation = ensure_triton(tmp_path)
    assert installation.server.stat().st_mode & 0o111
    stub = installation.backends / "python" / "triton_python_backend_stub"
    assert stub.stat().st_mode & 0o111
    assert installation.site.is_dir()
    assert not list(tmp_path.glob("unfinished-*"))


def test_second_call_finds_it(pip: FakePip, tmp_path: Path) -> None:
    assert ensure_triton(tmp_path) == ensure_triton(tmp_path)
    assert pip.num_calls == 2  # one per folder, once


def test_callers_at_once_install_once(pip: FakePip, tmp_path: Path) -> None:
    threads = [threading.Thread(target=ensure_triton, args=(tmp_path,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert pip.num_calls == 2


def test_failure_is_one_line_and_leaves_nothing(pip: FakePip, tmp_path: Path) -> None:
    pip.failing = True
    with pytest.raises(
        TritonInstallError, match=r"nvidia-pytriton.*: ERROR: no matching distribution; check"
    ):
        ensure_triton(tmp_path)
    assert [entry.suffix for entry in tmp_path.iterdir()] == [".lock"]


def test_leftover_of_a_killed_install_is_removed(pip: FakePip, tmp_path: Path) -> None:
    ensure_triton(tmp_path).root.rename(tmp_path / "moved")
    (name,) = (entry.stem for entry in tmp_path.glob("*.lock"))
    (tmp_path / f"unfinished-{name}-abc").mkdir()
    ensure_triton(tmp_path)
    assert not list(tmp_path.glob("unfinished-*"))


def test_what_others_build_in_the_same_cache_is_left_alone(pip: FakePip, tmp_path: Path) -> None:
    under_way = Path(tempfile.mkdtemp(prefix=tools.UNFINISHED, dir=tmp_path))  # Kubernetes' programs, say
    ensure_triton(tmp_path)
    assert under_way.exists()


def test_cache_folder_comes_from_the_environment(
    pip: FakePip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAGESCHED_CACHE", str(tmp_path / "elsewhere"))
    assert ensure_triton().root.parent == tmp_path / "elsewhere"


def test_unsupported_python_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(triton_install, "SUPPORTED_PYTHONS", ((3, 8),))
    with pytest.raises(TritonInstallError, match=r"runs with Python 3\.8, this is 3\."):
        ensure_triton(tmp_path)


def test_libpython_of_this_version_is_found() -> None:
    python = find_embedded_python()
    assert list(python.library_folder.glob("libpython3*.so.1.0"))
    assert (python.home / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}").is_dir()


def test_missing_libpython_gives_folders_and_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(triton_install, "_library_folders", lambda: [(tmp_path, tmp_path)])
    with pytest.raises(TritonInstallError, match=rf"none of {tmp_path}; install it"):
        find_embedded_python()

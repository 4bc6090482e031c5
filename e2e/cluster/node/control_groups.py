"""The control groups that all containers of the node are below, in whichever hierarchies the machine has."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

from cluster.node.layout import CONTROL_GROUPS, NAME
from cluster.node.processes import send

_END_TIMEOUT_S = 10.0
_POLL_S = 0.05
_UNIFIED = CONTROL_GROUPS / "cgroup.controllers"
_CONTROLLERS = ("cpuset", "cpu", "io", "memory", "pids")


def make_control_groups() -> None:
    """Make ours: kubelet wants the one that it is told to have."""
    if _UNIFIED.exists():
        for parent in (CONTROL_GROUPS, CONTROL_GROUPS / NAME):
            parent.mkdir(exist_ok=True)
            _hand_down(parent)
        return
    for hierarchy in _hierarchies():
        ours = hierarchy / NAME
        ours.mkdir(exist_ok=True)
        for name in ("cpuset.cpus", "cpuset.mems"):  # empty in a new one, and then nothing can run there
            if (hierarchy / name).exists():
                (ours / name).write_text((hierarchy / name).read_text())


def end_containers() -> None:
    """Kill every process in them; returns when all have ended, or after ten seconds."""
    ends_at = time.monotonic() + _END_TIMEOUT_S
    while pids := {pid for group in _ours() for pid in _members(group)}:
        for pid in pids:
            send(pid, signal.SIGKILL)
        if time.monotonic() > ends_at:
            return
        time.sleep(_POLL_S)


def remove_control_groups() -> None:
    """Remove ours, deepest first; one in which something still runs stays."""
    for group in sorted(_ours(), key=lambda each: len(each.parts), reverse=True):
        with contextlib.suppress(OSError):
            group.rmdir()


def _hierarchies() -> list[Path]:
    """Of the first version: a folder per controller, several names for some."""
    return [each for each in CONTROL_GROUPS.iterdir() if each.is_dir() and not each.is_symlink()]


def _ours() -> Iterator[Path]:
    roots = [CONTROL_GROUPS] if _UNIFIED.exists() else _hierarchies()
    for root in roots:
        for folder, _, _ in os.walk(root / NAME):
            yield Path(folder)


def _members(group: Path) -> list[int]:
    try:
        return list(map(int, (group / "cgroup.procs").read_text().split()))
    except OSError:  # it has just gone, or holds threads only
        return []


def _hand_down(group: Path) -> None:
    for controller in _CONTROLLERS:
        with contextlib.suppress(OSError):  # not every machine has every one
            (group / "cgroup.subtree_control").write_text(f"+{controller}")

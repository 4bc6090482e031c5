"""Processes inside a pod's containers, seen and signalled from the machine that the node runs on."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from bed.pool import container_statuses
from cluster.errors import ClusterError

_PROCESSES = Path("/proc")


def pids_of(pod: Mapping[str, Any], container: str, command: str = "") -> list[int]:
    """Process ids of a container of the pod, the first process first.

    Args:
        pod: as the API server gives it.
        container: its name; native sidecars too.
        command: part of the command line; empty for all.
    """
    id = _container_id(pod, container)
    return sorted(pid for pid in _all_pids() if id in _control_groups(pid) and command in _command(pid))


def send(pod: Mapping[str, Any], container: str, what: signal.Signals, command: str = "") -> int:
    """Signal the first such process; returns its id.

    Raises:
        ClusterError: there is none.
    """
    pids = pids_of(pod, container, command)
    if not pids:
        raise ClusterError(f"{pod['metadata']['name']}: no process {command!r} in {container}")
    os.kill(pids[0], what)
    return pids[0]


def memory_group(pid: int) -> Path:
    """Folder of the control group that bounds the memory of a process."""
    for line in (_PROCESSES / str(pid) / "cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers == "memory":
            return Path("/sys/fs/cgroup/memory") / path.lstrip("/")
        if not controllers and Path("/sys/fs/cgroup/cgroup.controllers").exists():
            return Path("/sys/fs/cgroup") / path.lstrip("/")
    raise ClusterError(f"no control group for the memory of process {pid}")


def _container_id(pod: Mapping[str, Any], container: str) -> str:
    [status] = [each for each in container_statuses(pod) if each["name"] == container]
    return str(status["containerID"]).rpartition("/")[2]


def _all_pids() -> Iterator[int]:
    return (int(each.name) for each in _PROCESSES.iterdir() if each.name.isdigit())


def _control_groups(pid: int) -> str:
    with contextlib.suppress(OSError):
        return (_PROCESSES / str(pid) / "cgroup").read_text()
    return ""


def _command(pid: int) -> str:
    with contextlib.suppress(OSError):
        return (_PROCESSES / str(pid) / "cmdline").read_bytes().replace(b"\0", b" ").decode()
    return ""

"""What daemons leave outside control groups and namespace: shims, mounts, links, caches."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from cluster.debian import find
from cluster.node.layout import NAME, NodeLayout
from cluster.node.processes import send

_NETWORK_RESULTS = Path("/var/lib/cni/results")
_LOG_LINKS = Path("/var/log/containers")
_PLUGIN_SOCKET = Path("/var/lib/kubelet/device-plugins/kubelet.sock")
_SHARED_FOLDERS = (
    *(_PLUGIN_SOCKET.parent, _PLUGIN_SOCKET.parent.parent),
    *(_NETWORK_RESULTS, _NETWORK_RESULTS.parent, _LOG_LINKS),
    *(Path("/run/containerd") / name for name in ("runc/k8s.io", "runc", "s", "")),
)
"""Made by our daemons where they were not there; removed where they are empty."""

_END_TIMEOUT_S = 5.0
_POLL_S = 0.05


def end_shims(at: NodeLayout) -> None:
    """End the processes that hold containers for a containerd: they outlive it by design."""
    ends_at = time.monotonic() + _END_TIMEOUT_S
    while shims := list(_shims(at)):
        for pid in shims:
            send(pid, signal.SIGKILL)
        if time.monotonic() > ends_at:
            return
        time.sleep(_POLL_S)


def remove_shim_sockets(at: NodeLayout) -> None:
    """Their sockets are in a folder that all containerds share; each task's folder names its own."""
    for file in (at.containerd / "state").glob("io.containerd.runtime.v2.task/*/*/address"):
        Path(file.read_text().strip().removeprefix("unix://")).unlink(missing_ok=True)


def unmount_all(at: NodeLayout) -> None:
    """Unmount what is mounted below our folder, deepest first."""
    for mount in sorted(mounts_below(at.folder), reverse=True):
        for lazily in ((), ("-l",)):
            if not subprocess.run(
                [find("umount") or "umount", *lazily, mount], capture_output=True, check=False
            ).returncode:
                break


def mounts_below(folder: Path) -> list[str]:
    """Where something is mounted."""
    prefix = f"{folder}/"
    places = (line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines())
    return [place for place in places if place.startswith(prefix)]


def remove_outside_files(at: NodeLayout) -> None:
    """What kubelet and the network's plugins write elsewhere and cannot be told not to."""
    if _LOG_LINKS.is_dir():
        for link in _LOG_LINKS.iterdir():
            if link.is_symlink() and os.readlink(link).startswith(f"{at.pod_logs}/"):
                link.unlink()
    if _NETWORK_RESULTS.is_dir():
        for file in _NETWORK_RESULTS.glob(f"{NAME}-*"):
            container = file.name.removeprefix(f"{NAME}-").rpartition("-")[0]
            for result in _NETWORK_RESULTS.glob(f"*-{container}-*"):
                result.unlink(missing_ok=True)
    _PLUGIN_SOCKET.unlink(missing_ok=True)
    for folder in _SHARED_FOLDERS:
        with contextlib.suppress(OSError):  # not empty: another's; or not there
            folder.rmdir()


def _shims(at: NodeLayout) -> Iterator[int]:
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if b"containerd-shim" in words[0] and str(at.socket).encode() in words:
                yield int(entry.name)

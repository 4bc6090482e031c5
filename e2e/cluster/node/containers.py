"""What containerd has: images in, containers out."""

from __future__ import annotations

import io
import json
import subprocess
import tarfile
from collections.abc import Iterable
from pathlib import Path

from cluster.debian import find
from cluster.errors import ClusterError
from cluster.node.layout import NodeLayout

_NAMESPACE = "k8s.io"
_TIMEOUT_S = 300


class Containers:
    """One containerd, asked through `ctr`."""

    def __init__(self, at: NodeLayout) -> None:
        """Of the node whose files these are."""
        self._at = at
        self._records = at.containerd / "imported"

    def answers(self) -> bool:
        """Whether it runs."""
        # Where there is no socket, ctr would wait ten seconds for one.
        return self._at.socket.exists() and self._ctr("version", check=False).returncode == 0

    def import_images(self, archives: Iterable[Path]) -> list[Path]:
        """Unpack images that are not there yet; returns the archives that were new.

        Args:
            archives: OCI or docker archives. One is known by its path, size and time.

        Raises:
            ClusterError: containerd refuses one.
        """
        self._records.mkdir(parents=True, exist_ok=True)
        new, names = [], self.image_names()
        for archive in archives:
            seen = archive.stat()
            record = self._records / archive.name
            identity = f"{archive} {seen.st_size} {seen.st_mtime_ns}"
            is_known = record.exists() and record.read_text() == identity
            if is_known and self.name_of(archive) in names:  # a later checkout may have removed it
                continue
            self._ctr("images", "import", str(archive))
            record.write_text(identity)
            new.append(archive)
        return new

    def image_names(self) -> set[str]:
        """As pods name them."""
        return set(self._ctr("images", "ls", "-q").stdout.split())

    def name_of(self, archive: Path) -> str:
        """Name that an OCI archive gives its image."""
        with tarfile.open(archive) as tar:
            index = json.load(tar.extractfile("index.json") or io.BytesIO(b"{}"))
        names: dict[str, str] = index["manifests"][0]["annotations"]
        return names.get("io.containerd.image.name") or names["org.opencontainers.image.ref.name"]

    def tag(self, image: str, name: str) -> None:
        """Give an image a further name.

        Raises:
            ClusterError: there is no such image.
        """
        self._ctr("images", "tag", "--force", image, name)

    def remove_images(self, prefixes: tuple[str, ...], keep: Iterable[str]) -> None:
        """Forget images of earlier days.

        Args:
            prefixes: beginnings of the names of those that may go.
            keep: names of those that stay.
        """
        kept = set(keep)
        old = [name for name in self.image_names() if name.startswith(prefixes) and name not in kept]
        if old:
            self._ctr("images", "rm", *old)

    def kill(self, container_id: str) -> None:
        """End a container's first process as a crash would.

        Args:
            container_id: as in a pod's status.

        Raises:
            ClusterError: it does not run.
        """
        self._ctr("tasks", "kill", "--signal=SIGKILL", container_id.removeprefix("containerd://"))

    def remove_containers(self) -> None:
        """Remove all, with their tasks and what they had written; images stay."""
        tasks = self._ctr("tasks", "ls", "-q", check=False).stdout.split()
        if tasks:
            self._ctr("tasks", "delete", "--force", *tasks, check=False)
        containers = self._ctr("containers", "ls", "-q", check=False).stdout.split()
        if containers:
            self._ctr("containers", "delete", *containers, check=False)

    def _ctr(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        command = [
            find("ctr") or "ctr",
            f"--address={self._at.socket}",
            f"--namespace={_NAMESPACE}",
            *arguments,
        ]
        done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
        if check and done.returncode:
            raise ClusterError(f"ctr {' '.join(arguments)}: {done.stderr.strip()[-600:]}")
        return done

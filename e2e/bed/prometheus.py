"""`Prometheus`: Debian's, in the cluster's network."""

from __future__ import annotations

import json
import subprocess
import time
import urllib.parse
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

from cluster.debian import ensure_programs, find
from cluster.errors import ClusterError
from cluster.kubectl import Cluster

CONFIGURATION = "prometheus.yaml"
_ADDRESS = "127.0.0.1:9099"
_START_TIMEOUT_S = 30.0
_POLL_S = 0.3


class Prometheus:
    """Runs from `__enter__` to `__exit__`."""

    def __init__(self, cluster: Cluster, folder: Path, address: str = _ADDRESS) -> None:
        """Prepare.

        Args:
            cluster: whose network it is in.
            folder: with its `CONFIGURATION`, and files that this names; its data goes there too.
            address: where it listens; the default can be reached by nothing but this process.
        """
        self._cluster = cluster
        self._folder = folder
        self._address = address

    def __enter__(self) -> Self:
        """Start it; returns when it answers.

        Raises:
            ToolError: Prometheus is missing and not for us to install.
            ClusterError: it did not start.
        """
        ensure_programs({"prometheus": "prometheus"})
        self._log = (self._folder / "log").open("w+")
        self._process = subprocess.Popen(
            self._cluster.inside(
                find("prometheus") or "prometheus",
                f"--config.file={self._folder / CONFIGURATION}",
                f"--storage.tsdb.path={self._folder / 'data'}",
                f"--web.listen-address={self._address}",
            ),
            cwd=self._folder,
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )
        try:
            self.wait(
                lambda: self._get("/-/ready").startswith("Prometheus Server is Ready"),
                "ready",
                _START_TIMEOUT_S,
            )
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """End it."""
        self._process.terminate()
        self._process.wait(10)
        self._log.close()

    def query(self, expression: str) -> list[dict[str, Any]]:
        """Series of an instant query, with their latest values.

        Raises:
            ClusterError: Prometheus does not understand it, or does not answer.
        """
        answer = self._ask("/api/v1/query?" + urllib.parse.urlencode({"query": expression}))
        series: list[dict[str, Any]] = answer["result"]
        return series

    def firing(self) -> set[str]:
        """Names of the alerts that fire."""
        return {each["metric"]["alertname"] for each in self.query('ALERTS{alertstate="firing"}')}

    def health(self) -> dict[str, str]:
        """Job and address → health of every target: up, down or unknown."""
        answer = self._ask("/api/v1/targets?state=active")
        return {
            f"{each['labels']['job']} {each['scrapeUrl']}": each["health"] for each in answer["activeTargets"]
        }

    def wait(self, is_so: Callable[[], bool], what: str, timeout_s: float) -> float:
        """Wait until something is so; returns the seconds it took.

        Raises:
            ClusterError: it is not in time, or Prometheus has ended; with the end of its log.
        """
        began = time.monotonic()
        while not is_so():
            if self._process.poll() is not None or time.monotonic() - began > timeout_s:
                self._log.seek(0)
                log = self._log.read()[-1500:]
                raise ClusterError(f"Prometheus: not {what} within {timeout_s:.0f} s\n{log}")
            time.sleep(_POLL_S)
        return time.monotonic() - began

    def _ask(self, path: str) -> dict[str, Any]:
        text = self._get(path)
        answer = json.loads(text) if text.startswith("{") else {}
        if answer.get("status") != "success":
            raise ClusterError(f"Prometheus on {path}: {text or 'no answer'}")
        data: dict[str, Any] = answer["data"]
        return data

    def _get(self, path: str) -> str:
        command = self._cluster.inside("curl", "-sS", "--max-time", "10", f"http://{self._address}{path}")
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout

"""`Prometheus`: Debian's, in the cluster's network, told what to read by our own monitors."""

from __future__ import annotations

import json
import subprocess
import tempfile
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Self

import yaml

from bed.monitors import EVERY_S, Document, configuration, monitors, rules, targets, targets_file
from cluster.debian import ensure_programs, find
from cluster.errors import ClusterError
from cluster.kubectl import Cluster

_ADDRESS = "127.0.0.1:9099"
_POLL_S = 0.3


class Prometheus:
    """Runs from `__enter__` to `__exit__`."""

    def __init__(self, cluster: Cluster, documents: Iterable[Document]) -> None:
        """Prepare.

        Args:
            cluster: to read.
            documents: manifests; PodMonitor, ServiceMonitor and PrometheusRule among them are taken.
        """
        self._cluster = cluster
        self._documents = list(documents)
        self._ends = threading.Event()

    def __enter__(self) -> Self:
        """Start it; returns when it answers.

        Raises:
            ToolError: Prometheus is missing and not for us to install.
            ClusterError: it did not start.
        """
        ensure_programs({"prometheus": "prometheus"})
        self._folder = tempfile.TemporaryDirectory(prefix="sagesched-prometheus-")
        folder = Path(self._folder.name)
        (folder / "rules.yaml").write_text(yaml.safe_dump(rules(self._documents)))
        (folder / "prometheus.yaml").write_text(yaml.safe_dump(configuration(self._documents)))
        self._discover()
        self._discovery = threading.Thread(target=self._keep_discovering)
        self._discovery.start()
        self._log = (folder / "log").open("w+")
        self._process = subprocess.Popen(
            self._cluster.inside(
                find("prometheus") or "prometheus",
                f"--config.file={folder / 'prometheus.yaml'}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address={_ADDRESS}",
            ),
            cwd=folder,
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )
        try:
            self.wait(lambda: self._get("/-/ready").startswith("Prometheus Server is Ready"), "ready", 30)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """End it; its data goes."""
        self._ends.set()
        self._process.terminate()
        self._process.wait(10)
        self._discovery.join()
        self._log.close()
        self._folder.cleanup()

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
        command = self._cluster.inside("curl", "-sS", "--max-time", "10", f"http://{_ADDRESS}{path}")
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout

    def _keep_discovering(self) -> None:
        while not self._ends.wait(2 * EVERY_S):
            try:
                self._discover()
            except ClusterError:
                continue  # what was found before stays, as in Prometheus' own discovery

    def _discover(self) -> None:
        for monitor in monitors(self._documents):
            file = Path(self._folder.name) / targets_file(monitor)
            unfinished = file.with_suffix(".unfinished")
            unfinished.write_text(json.dumps(targets(self._cluster, monitor)))
            unfinished.replace(file)

"""A Prometheus that is told what to read, and when to alert, by our own monitors and rules."""

from __future__ import annotations

import json
import tempfile
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml

from bed.monitors import EVERY_S, Document, configuration, monitors, rules, targets, targets_file
from bed.prometheus import CONFIGURATION, Prometheus
from cluster.errors import ClusterError
from cluster.kubectl import Cluster


@contextmanager
def monitored(cluster: Cluster, documents: Iterable[Document]) -> Iterator[Prometheus]:
    """One that reads the cluster, for as long as the `with` lasts.

    Args:
        cluster: to read.
        documents: manifests; PodMonitor, ServiceMonitor and PrometheusRule among them are taken.
    """
    told = list(documents)
    with tempfile.TemporaryDirectory(prefix="sagesched-prometheus-") as name:
        folder = Path(name)
        (folder / "rules.yaml").write_text(yaml.safe_dump(rules(told)))
        (folder / CONFIGURATION).write_text(yaml.safe_dump(configuration(told)))
        with _discovering(cluster, list(monitors(told)), folder), Prometheus(cluster, folder) as prometheus:
            yield prometheus


@contextmanager
def _discovering(cluster: Cluster, read: list[Document], folder: Path) -> Iterator[None]:
    """Keep the files of targets as the cluster is."""
    ends = threading.Event()

    def follow() -> None:
        while not ends.wait(2 * EVERY_S):
            try:
                _discover(cluster, read, folder)
            except ClusterError:
                continue  # what was found before stays, as in Prometheus' own discovery

    _discover(cluster, read, folder)
    thread = threading.Thread(target=follow)
    thread.start()
    try:
        yield
    finally:
        ends.set()
        thread.join()


def _discover(cluster: Cluster, read: list[Document], folder: Path) -> None:
    for monitor in read:
        file = folder / targets_file(monitor)
        unfinished = file.with_suffix(".unfinished")
        unfinished.write_text(json.dumps(targets(cluster, monitor)))
        unfinished.replace(file)

"""A control plane for the tests that share one, and a second try for what real processes did to a test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster.control_plane import ControlPlane
from cluster.tools import Tools, ensure_tools

_HERE = Path(__file__).parent
# Characters of a failure: its end says most.
_SAID = 4000


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A failed test here is run once more, and the summary counts it.

    Dozens of real processes share the machine with whoever else is on it, and some waits have to end. A test
    that is wrong fails twice; one that often needs its second run is to be mended.
    """
    for item in items:
        if _HERE in item.path.parents:
            item.add_marker(pytest.mark.flaky(reruns=1))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say what went wrong in first tries, or nobody would know what to mend."""
    for report in terminalreporter.getreports("rerun"):
        terminalreporter.write_sep("_", f"first try of {report.nodeid}")
        terminalreporter.write_line(report.longreprtext[-_SAID:])


@pytest.fixture(scope="session")
def cluster_tools() -> Tools:
    """kubectl, helm, kubeconform and the control plane's own programs."""
    return ensure_tools()


@pytest.fixture(scope="session")
def control_plane(cluster_tools: Tools) -> Iterator[ControlPlane]:
    """etcd, kube-apiserver, kube-controller-manager and kube-scheduler with an audit log."""
    with ControlPlane(tools=cluster_tools) as running:
        yield running

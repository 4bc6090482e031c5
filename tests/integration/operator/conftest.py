"""One operator, with the chart's rights, on the session's control plane; a namespace per test."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster.control_plane import ControlPlane

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[2] / "unit" / "sagesched_operator"))

from operator_process import OperatorProcess, Space, install, running

_NUMBERS = itertools.count(1)


@pytest.fixture(scope="session")
def installed(control_plane: ControlPlane) -> ControlPlane:
    install(control_plane)
    return control_plane


@pytest.fixture(scope="session")
def operator(installed: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OperatorProcess]:
    with running(installed, tmp_path_factory.mktemp("operator")) as operator:
        yield operator


@pytest.fixture
def space(installed: ControlPlane) -> Iterator[Space]:
    name = f"team-{next(_NUMBERS)}"
    installed.kubectl("create", "namespace", name)
    yield Space(installed, name)
    installed.kubectl("delete", "namespace", name, "--wait=false")

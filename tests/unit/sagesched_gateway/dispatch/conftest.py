"""Puts `dispatch_fakes` within reach; tests of the gRPC face use it too."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

sys.path.insert(0, str(Path(__file__).parent))

if TYPE_CHECKING:
    from dispatch_fakes import Bench


@pytest.fixture
async def bench() -> Callable[..., Bench]:
    """Makes a dispatcher on the test's event loop, everything around it faked."""
    from dispatch_fakes import Bench

    return Bench

"""What tests of the whole gateway share."""

import logging
import sys
import threading

import pytest


@pytest.fixture
def own_logging(monkeypatch):
    """`serve` takes over the process's logging and hooks; the tests' own come back."""
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.captureWarnings(False)

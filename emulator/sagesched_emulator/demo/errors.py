"""Errors of the demo, each one sentence for people with what to do.

DemoError
├── StartError      something the demo needs did not start or cannot be had
├── LoadError       the load client failed
└── StarvedError    this machine cannot keep up with the emulated engine
"""

from __future__ import annotations


class DemoError(RuntimeError):
    """The demo cannot go on."""


class StartError(DemoError):
    """Something the demo needs did not start, does not answer, or cannot be had."""


class LoadError(DemoError):
    """The load client could not do its work."""


class StarvedError(DemoError):
    """This machine cannot keep up even at the slowest time scale that is allowed."""

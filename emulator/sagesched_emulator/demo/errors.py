"""Errors of the demo, each one sentence for people with what to do.

DemoError
├── StartError         something the demo needs did not start or cannot be had
├── LoadError          the load client failed
├── HopelessRunError   a run was broken off because it would not have counted
└── StarvedError       this machine cannot keep up with the emulated engine at any time scale
"""

from __future__ import annotations


class DemoError(RuntimeError):
    """The demo cannot go on."""


class StartError(DemoError):
    """Something the demo needs did not start, does not answer, or cannot be had."""


class LoadError(DemoError):
    """The load client could not do its work."""


class HopelessRunError(DemoError):
    """A run was broken off since this machine does not keep up; the message says how far it is off."""


class StarvedError(DemoError):
    """This machine cannot keep up even at the slowest time scale that is allowed."""

"""What can go wrong while a cluster is made; every message says what to do."""

from __future__ import annotations


class ClusterError(RuntimeError):
    """The test bed cannot do what was asked; the message holds the reason and the remedy."""


class ToolError(ClusterError):
    """A program could not be found or built."""


class StartError(ClusterError):
    """A process ended or did not become ready; the message holds the end of its log."""

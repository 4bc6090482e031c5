"""What can go wrong for a client of the pool."""

from __future__ import annotations


class AnswerError(Exception):
    """A request failed; the message is the error as its client tells it."""

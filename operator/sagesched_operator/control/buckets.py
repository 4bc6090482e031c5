"""Figures in coarse steps, for a status that seldom changes. Pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Buckets:
    """Ranges with names; who is in one leaves it only well beyond its edge.

    Attributes:
        edges: between neighbouring ranges, rising.
        names: of the ranges, one more than edges.
        slack: how far beyond an edge, as a share of it, a range is held on to.
    """

    edges: tuple[float, ...]
    names: tuple[str, ...]
    slack: float

    def of(self, value: float, before: str = "") -> str:
        """The range of a value.

        Args:
            value: the figure.
            before: its range so far; anything else for none.
        """
        place = sum(value > edge for edge in self.edges)
        if before in self.names:
            held = self.names.index(before)
            if place > held and value <= self.edges[held] * (1 + self.slack):
                return before
            if place < held and value >= self.edges[held - 1] * (1 - self.slack):
                return before
        return self.names[place]

    def steps(self, value: float) -> int:
        """Another number wherever `of` could give another name, whatever the one before was."""
        shares = (1 - self.slack, 1, 1 + self.slack)
        return sum(value > edge * share for edge in self.edges for share in shares)

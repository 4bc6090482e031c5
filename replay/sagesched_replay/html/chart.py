"""`Chart`: lines and points on two axes, as SVG that takes its colours from the page."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape
from typing import NamedTuple

from sagesched_replay.html.scales import Scale, short

WIDTH, HEIGHT = 860, 380
LEFT, RIGHT, TOP, BOTTOM = 72, 24, 16, 52
COLOURS = 8
"""Of the page's style sheet, `s0` and so on."""


def colour(place: int) -> str:
    """Class of the series at this place; after all colours they begin again, dashed."""
    dashed = " dashed" if place >= COLOURS else ""
    return f"s{place % COLOURS}{dashed}"


class _Box(NamedTuple):
    """Pixels that something covers."""

    left: float
    top: float
    right: float
    bottom: float


class Chart:
    """One plot."""

    def __init__(
        self,
        x: tuple[float, float],
        y: tuple[float, float],
        *,
        x_title: str,
        y_title: str,
        x_log: bool = False,
        y_log: bool = False,
        y_text: Callable[[float], str] = short,
    ) -> None:
        """Draw the axes: least and most value of each, and what they mean."""
        self.x = Scale(*x, LEFT, WIDTH - RIGHT, x_log)
        self.y = Scale(*y, HEIGHT - BOTTOM, TOP, y_log)
        self._parts = [*self._grid(y_text), *self._titles(x_title, y_title)]
        self._labels: list[tuple[float, float, str, bool]] = []
        self._taken: list[_Box] = []

    def line(self, points: Sequence[tuple[float, float]], kind: str, title: str) -> None:
        """A line; `title` shows where the pointer rests."""
        path = " ".join(f"{self.x(x):.1f},{self.y(y):.1f}" for x, y in points)
        self._parts.append(
            f'<polyline class="line {kind}" points="{path}"><title>{escape(title)}</title></polyline>'
        )

    def point(self, x: float, y: float, kind: str, label: str, title: str, *, small: bool = False) -> None:
        """A dot with its name beside it, where there is room."""
        at_x, at_y = self.x(x), self.y(y)
        radius = 4 if small else 6
        self._taken.append(_Box(at_x - radius, at_y - radius, at_x + radius, at_y + radius))
        self._parts.append(
            f'<circle class="dot {kind}" cx="{at_x:.1f}" cy="{at_y:.1f}" r="{radius}">'
            f"<title>{escape(title)}</title></circle>"
        )
        if label:
            self._labels.append((at_x, at_y, label, small))

    def svg(self, description: str) -> str:
        """The plot; `description` is for who cannot see it."""
        labels = [self._label(*label) for label in self._labels]
        return (
            f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(description)}">'
            + "".join([*self._parts, *labels])
            + "</svg>"
        )

    def _label(self, at_x: float, at_y: float, label: str, small: bool) -> str:
        """A name where there is room for it: right, left, above or below; a small one may go without."""
        width = 7.2 * len(label)
        places = (
            (at_x + 10, at_y + 4, "start", at_x + 10),
            (at_x - 10, at_y + 4, "end", at_x - 10 - width),
            (at_x, at_y - 12, "middle", at_x - width / 2),
            (at_x, at_y + 20, "middle", at_x - width / 2),
            (at_x + 10, at_y - 10, "start", at_x + 10),
            (at_x + 10, at_y + 20, "start", at_x + 10),
        )
        free = (one for one in places if self._is_free(_Box(one[3], one[1] - 11, one[3] + width, one[1] + 3)))
        place = next(free, None if small else places[0])
        if place is None:
            return ""
        x, y, anchor, left = place
        self._taken.append(_Box(left, y - 11, left + width, y + 3))
        kind = "label small" if small else "label"
        return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(label)}</text>'

    def _is_free(self, box: _Box) -> bool:
        inside = box.left >= LEFT and box.right <= WIDTH - RIGHT
        inside = inside and box.top >= TOP and box.bottom <= HEIGHT - BOTTOM
        return inside and not any(
            box.left < other.right
            and other.left < box.right
            and box.top < other.bottom
            and other.top < box.bottom
            for other in self._taken
        )

    def _grid(self, y_text: Callable[[float], str]) -> list[str]:
        parts = []
        for tick in self.x.ticks():
            at = self.x(tick)
            parts.append(
                f'<line class="grid" x1="{at:.1f}" x2="{at:.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}"/>'
                f'<text class="tick" x="{at:.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">'
                f"{short(tick)}</text>"
            )
        for tick in self.y.ticks():
            at = self.y(tick)
            parts.append(
                f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{at:.1f}" y2="{at:.1f}"/>'
                f'<text class="tick" x="{LEFT - 8}" y="{at + 4:.1f}" text-anchor="end">{y_text(tick)}</text>'
            )
        return parts

    def _titles(self, x_title: str, y_title: str) -> list[str]:
        middle = (TOP + HEIGHT - BOTTOM) / 2
        return [
            f'<text class="axis" x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 10}" text-anchor="middle">'
            f"{escape(x_title)}</text>",
            f'<text class="axis" transform="translate(16 {middle}) rotate(-90)" text-anchor="middle">'
            f"{escape(y_title)}</text>",
        ]

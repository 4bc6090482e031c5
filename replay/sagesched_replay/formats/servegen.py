"""ServeGen's statistics of production clients (Alibaba), drawn into a trace.

A folder with two tables: rates, `*_client_rates.csv` (`client,t_s,rate,cv,dist,param1,param2`: requests per
second and the distribution of gaps in each window), and lengths, `*_length_hists.jsonl` (per client and
window, histograms of input and output tokens). Each client is a renewal process with Gamma or Weibull gaps,
shape `param1` and scale `param2`, whose lengths are drawn from its histograms, input and output
independently: the files hold no more. A window without a histogram uses the client's nearest one; clients
without any are left out.
"""

from __future__ import annotations

import ast
import json
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from sagesched_emulator.dataset import DatasetError, Record
from sagesched_replay.formats.text import lines_of

HEADING = "client,t_s,rate,cv,dist,param1,param2"
_LAST_WINDOW_S = 600.0


class Window(NamedTuple):
    """How a client sent during one window.

    Attributes:
        from_s: its beginning, seconds.
        until_s: its end.
        dist: `Gamma` or `Weibull`; empty where nothing was sent.
        shape: of the gaps.
        scale: of the gaps, seconds.
    """

    from_s: float
    until_s: float
    dist: str
    shape: float
    scale: float


@dataclass(frozen=True, slots=True)
class Histogram:
    """Lengths and their probabilities."""

    lengths: npt.NDArray[np.int64]
    weights: npt.NDArray[np.float64]

    def draw(self, rng: np.random.Generator) -> int:
        """One length, at least 1."""
        return max(1, int(rng.choice(self.lengths, p=self.weights)))


Lengths = Mapping[float, tuple[Histogram, Histogram]]
"""Input and output tokens by the beginning of their window."""


def tables_in(folder: Path) -> tuple[Path, Path] | None:
    """Both tables of the folder; None where it is not such a folder.

    Raises:
        DatasetError: there are several of one kind.
    """
    rates = sorted(folder.glob("*_client_rates.csv*"))
    lengths = sorted(folder.glob("*_length_hists.jsonl*"))
    if not rates or not lengths:
        return None
    if len(rates) > 1 or len(lengths) > 1:
        raise DatasetError(
            f"{folder}: several tables of clients; name one by its rates, such as {rates[0].name}"
        )
    return rates[0], lengths[0]


def lengths_beside(rates: Path) -> Path:
    """The table of lengths that belongs to a table of rates.

    Raises:
        DatasetError: it is not there.
    """
    name = rates.name.replace("_client_rates.csv", "_length_hists.jsonl")
    beside = rates.with_name(name)
    if name == rates.name or not beside.exists():
        raise DatasetError(f"{rates}: its table of lengths {name} is not beside it")
    return beside


def draw_servegen(rates: Path, lengths: Path, *, num_requests: int, from_s: float, seed: int) -> list[Record]:
    """Draw the first `num_requests` from `from_s` on.

    Raises:
        DatasetError: a line is wrong, or nothing is sent from `from_s` on.
    """
    hists = _read_lengths(lengths)
    windows = {client: found for client, found in _read_rates(rates).items() if hists.get(client)}
    arrivals: list[tuple[float, int]] = []
    starts = sorted({window.from_s for found in windows.values() for window in found})
    rngs = {client: np.random.default_rng([seed, 3, client]) for client in windows}
    by_start = {client: {window.from_s: window for window in found} for client, found in windows.items()}
    for start in starts:
        for client, found in by_start.items():
            window = found.get(start)
            if window is not None and window.dist and window.until_s > from_s:
                arrivals += [(at, client) for at in _gaps(window, rngs[client]) if at >= from_s]
        if len(arrivals) >= num_requests:
            break
    if not arrivals:
        raise DatasetError(f"{rates}: no client sends anything from second {from_s:g} on")
    return [
        _record(at, client, hists[client], rngs[client]) for at, client in sorted(arrivals)[:num_requests]
    ]


def _gaps(window: Window, rng: np.random.Generator) -> list[float]:
    """Instants of one client in one window; the first gap is cut at random, as it began before."""
    instants: list[float] = []
    at = window.from_s - _gap(window, rng) * rng.random()
    while True:
        at += _gap(window, rng)
        if at >= window.until_s:
            return instants
        if at >= window.from_s:
            instants.append(at)


def _gap(window: Window, rng: np.random.Generator) -> float:
    if window.dist == "Gamma":
        return float(rng.gamma(window.shape, window.scale))
    return float(rng.weibull(window.shape) * window.scale)


def _record(at: float, client: int, lengths: Lengths, rng: np.random.Generator) -> Record:
    begun = max((start for start in lengths if start <= at), default=min(lengths))
    prompt, output = lengths[begun]
    return Record(
        prompt="",
        prompt_tokens=prompt.draw(rng),
        output_tokens=output.draw(rng),
        arrival_s=at,
        dataset=f"client {client}",
    )


def _read_rates(path: Path) -> dict[int, list[Window]]:
    rows: dict[int, list[tuple[float, str, float, float]]] = defaultdict(list)
    lines = lines_of(path)
    next(lines)
    for number, line in lines:
        fields = line.split(",")
        try:
            if len(fields) != 7:
                raise ValueError(f"seven fields are needed, got {len(fields)}")
            client, at, rate, dist = int(fields[0]), float(fields[1]), float(fields[2] or 0), fields[4]
            if not math.isfinite(at):
                raise ValueError(f"'t_s' must be a number of seconds, got {at}")
            if dist not in ("", "Gamma", "Weibull"):
                raise ValueError(f"'dist' must be Gamma, Weibull or empty, got {dist!r:.40}")
            is_silent = not dist or rate <= 0
            shape, scale = (0.0, 0.0) if is_silent else (float(fields[5]), float(fields[6]))
            if not is_silent and not (0 < shape < math.inf and 0 < scale < math.inf):
                raise ValueError(f"shape and scale must be above 0, got {shape} and {scale}")
        except ValueError as error:
            raise DatasetError(f"{path}:{number}: {error}") from error
        rows[client].append((at, "" if is_silent else dist, shape, scale))
    return {client: _windows(sorted(found)) for client, found in rows.items()}


def _windows(rows: Sequence[tuple[float, str, float, float]]) -> list[Window]:
    ends = [row[0] for row in rows[1:]] + [rows[-1][0] + _LAST_WINDOW_S]
    return [
        Window(at, end, dist, shape, scale) for (at, dist, shape, scale), end in zip(rows, ends, strict=True)
    ]


def _read_lengths(path: Path) -> dict[int, Lengths]:
    lengths: dict[int, Lengths] = {}
    for number, line in lines_of(path):
        try:
            fields = json.loads(line)
            lengths[int(fields["client"])] = {
                float(start): (_histogram(window["input_tokens"]), _histogram(window["output_tokens"]))
                for start, window in fields["windows"].items()
                if len(window["input_tokens"]) > 2 and len(window["output_tokens"]) > 2
            }
        except (ValueError, OverflowError, SyntaxError, KeyError, TypeError, AttributeError) as error:
            raise DatasetError(f"{path}:{number}: not a client's histograms: {error}") from error
    return lengths


def _histogram(text: str) -> Histogram:
    pairs = ast.literal_eval(text)
    weights = np.array(list(pairs.values()), dtype=np.float64)
    if not (weights.size and np.isfinite(weights).all() and (weights >= 0).all() and weights.sum() > 0):
        raise ValueError("weights must be >= 0 and not all 0")
    return Histogram(np.array(list(pairs), dtype=np.int64), weights / weights.sum())

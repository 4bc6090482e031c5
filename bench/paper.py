"""What the benches of published claims share: traces, runs that are kept, paired intervals, words.

A claim is printed as four things: what was published or promised, what was run here, the figures, the
verdict. Every run of every seed is kept in a file of JSON lines (`--kept`), keyed by all that decides it, so
that a bench that was stopped goes on where it was, and two benches that need the same run share it.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import lzma
import platform
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from castillo import DEFAULT_MODEL, castillo_records, default_data_folder, read_castillo
from scipy import stats

from sagesched_emulator.dataset import Record
from sagesched_emulator.profiles import EngineProfile
from sagesched_emulator.trace import Trace, draw_trace
from sagesched_replay.inside.preemption import Preemption, Way
from sagesched_replay.knowledge import Knowledge, OtherAnswers
from sagesched_replay.replay import ReplayRun, ReplaySettings, replay
from sagesched_replay.report import RunFigures, run_figures
from sagesched_replay.rivals.settings import RivalSettings
from sagesched_replay.told import told

FloatArray = npt.NDArray[np.float64]

PERCENTILES = (*range(1, 100), 99.5)
AS_THE_ENGINE = Preemption(way=Way.RECOMPUTE)
"""Putting aside as the engine behind a gateway does it when memory runs out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """One policy with its knobs, as one row of a table.

    Attributes:
        label: as printed.
        settings: policy and knobs.
        preemption: of policies inside the engine.
        is_oracle: it knows what nobody knows.
    """

    label: str
    settings: RivalSettings
    preemption: Preemption = AS_THE_ENGINE
    is_oracle: bool = False


def contender(
    name: str, label: str = "", *, preemption: Preemption = AS_THE_ENGINE, **knobs: float
) -> Contender:
    """A policy by name; `sjf` and `srpt` are oracles."""
    settings = RivalSettings(name=name, **knobs)  # type: ignore[arg-type]
    is_oracle = name in ("sjf", "srpt")
    return Contender(label=label or name, settings=settings, preemption=preemption, is_oracle=is_oracle)


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """Figures of one run.

    Attributes:
        figures: the usual ones.
        percentiles: time to last token at each of `PERCENTILES`, seconds.
    """

    figures: RunFigures
    percentiles: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Mean time to last token, seconds."""
        return self.figures.mean_ttlt_s

    @property
    def p99(self) -> float:
        """Its 99th percentile."""
        return self.figures.p99_ttlt_s


class Runs:
    """Runs one after the other and keeps what came out."""

    def __init__(self, path: Path | None) -> None:
        """Read what was kept before; None keeps nothing."""
        self._path = path
        self._known: dict[str, Kept] = {}
        if path is not None and path.exists():
            for line in path.read_text().splitlines():
                row = json.loads(line)
                figures: dict[str, Any] = {
                    name: float("nan") if value is None else value for name, value in row["figures"].items()
                }
                self._known[row["key"]] = Kept(
                    figures=RunFigures(**figures), percentiles=tuple(row["percentiles"])
                )

    def of(
        self,
        trace: Trace,
        name_of_trace: str,
        engine: EngineProfile,
        who: Contender,
        make_knowledge: Callable[[], Knowledge] = OtherAnswers,
    ) -> Kept:
        """One run; `name_of_trace` tells it from all other traces, what is known included."""
        settings, preemption = asdict(who.settings), asdict(who.preemption)
        inside = (
            "@" in who.settings.name
            or who.settings.name in ("mlfq", "mlfq-unaged", "srpt")
            or (who.settings.name.startswith(("ltr", "trail")))
        )
        key = json.dumps(
            [name_of_trace, engine.name, settings, preemption if inside else None], sort_keys=True
        )
        if key not in self._known:
            knowledge = told(who.settings.name, make_knowledge)
            run = replay(
                trace, engine, ReplaySettings(policy=who.settings, preemption=who.preemption), knowledge
            )
            self._known[key] = kept = kept_of(run)
            self._write(key, kept)
        return self._known[key]

    def _write(self, key: str, kept: Kept) -> None:
        if self._path is None:
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        row = {"key": key, "figures": kept.figures.as_json(), "percentiles": kept.percentiles}
        with self._path.open("a") as file:
            file.write(json.dumps(row) + "\n")


def kept_of(run: ReplayRun) -> Kept:
    """What is kept of a run."""
    ttlt = [one.last_at - one.request.arrival_s for one in run.served if one.last_at is not None]
    percentiles = np.percentile(ttlt, PERCENTILES)
    return Kept(figures=run_figures(run), percentiles=tuple(float(value) for value in percentiles))


# --- Traces ---


def castillo(model: str = DEFAULT_MODEL) -> list[Record]:
    """All prompts of a model with their ten answers' lengths."""
    return castillo_records(read_castillo(default_data_folder(), model), model, seed=0)


def digest(records: Sequence[Record]) -> str:
    """Twelve digits that tell one set of records from another."""
    told = ((one.prompt, one.output_tokens, one.output_samples, one.prompt_tokens) for one in records)
    return hashlib.sha256(repr(list(told)).encode()).hexdigest()[:12]


def poisson(records: Sequence[Record], engine: EngineProfile, rho: float, num: int, seed: int) -> Trace:
    """Lines drawn with replacement, Poisson arrivals."""
    return draw_trace(records, profile=engine, rho=rho, num_requests=num, seed=seed, repeats=True)


def azure_bursts(records: Sequence[Record], engine: EngineProfile, rho: float, num: int, seed: int) -> Trace:
    """The same lines, with the gaps of as many consecutive requests of Azure's code trace, scaled to rho."""
    trace = poisson(records, engine, rho, num, seed)
    instants = azure_instants()
    if num > instants.size:
        raise ValueError(f"Azure's code trace has {instants.size} requests, {num} were asked for")
    start = int(np.random.default_rng([seed, 7]).integers(instants.size - num + 1))
    window = instants[start : start + num] - instants[start]
    window *= trace.span_s / window[-1]
    requests = tuple(
        replace(request, arrival_s=float(at)) for request, at in zip(trace.requests, window, strict=True)
    )
    return replace(trace, requests=requests)


def azure_rows() -> list[dict[str, str]]:
    """Azure's code trace."""
    path = default_data_folder() / "azure_llm_2023" / "AzureLLMInferenceTrace_code.csv.xz"
    with lzma.open(path, "rt", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def azure_instants() -> FloatArray:
    """Instants of its requests, seconds."""
    stamps = [datetime.fromisoformat(row["TIMESTAMP"][:26]).timestamp() for row in azure_rows()]
    return np.sort(np.array(stamps))


ARRIVALS = {"Poisson": poisson, "Azure bursts": azure_bursts}

# --- Statistics and words ---


@dataclass(frozen=True, slots=True)
class Interval:
    """Mean over seeds with its 95 % interval (Student's t); the interval is nan for one seed."""

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.mean:.3f} ({self.low:.3f} to {self.high:.3f})"


def interval(values: Sequence[float]) -> Interval:
    """Of one value per seed."""
    mean = float(np.mean(values))
    if len(values) < 2:
        return Interval(mean, float("nan"), float("nan"))
    half = float(stats.t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / np.sqrt(len(values)))
    return Interval(mean, mean - half, mean + half)


def paired(values: Sequence[float], others: Sequence[float]) -> str:
    """Which is smaller over the same seeds, and a word where that is within noise."""
    gap = interval([a - b for a, b in zip(values, others, strict=True)])
    if not (gap.low > 0 or gap.high < 0):
        return f"{gap.mean:+.3f}, within noise"
    return f"{gap.mean:+.3f} ({gap.low:+.3f} to {gap.high:+.3f})"


def say(claim: str, set_up: str, verdict: str, table: Sequence[str] = ()) -> None:
    """Print one claim."""
    print(f"\nclaim     {claim}\nset-up    {set_up}")
    for line in table:
        print(f"          {line}")
    print(f"verdict   {verdict}", flush=True)


def add_arguments(parser: argparse.ArgumentParser, *, requests: int, seeds: str = "0-9") -> None:
    """Options that all of them have."""
    parser.add_argument("--requests", type=int, default=requests, help="per seed (default: %(default)s)")
    parser.add_argument("--seeds", default=seeds, help="A-B or a single one (default: %(default)s)")
    parser.add_argument(
        "--kept", type=Path, default=Path("build/bench/paper_runs.jsonl"), help="where runs are kept"
    )


def seeds_of(text: str) -> list[int]:
    """A-B or a single one."""
    first, _, last = text.partition("-")
    return list(range(int(first), int(last or first) + 1))


def machine() -> str:
    """For a heading."""
    return platform.machine()

"""Traces: which requests arrive when, and how long each answer really is.

A trace is drawn once from a dataset by a seed and then sent, unchanged, to every policy, to replay and to a
live server, so that they differ in nothing else. Lines, true lengths and gaps come from three independent
random streams: another load or another engine keeps the requests and only moves their arrivals.

Load: `rho = sum of work / span`, where work is the engine's own measure of a request (seconds) and span the
time from the first arrival, which is at 0, to the last.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import numpy.typing as npt

from sagesched_emulator.dataset import DatasetError, Record
from sagesched_predictor.distribution import LengthDistribution

UTF8_BYTES_PER_TOKEN = 4
"""English text in the vocabularies of today's models; used only where a line lacks `prompt_tokens`."""


MAX_SAMPLES = 200
"""A distribution is written as at most this many samples."""

FloatArray = npt.NDArray[np.float64]


class EngineWork(Protocol):
    """What a trace needs of an engine profile: how much work a request is."""

    def work(self, prompt_tokens: int, output_tokens: int) -> float:
        """Engine seconds of one request."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceRequest:
    """One request of a trace.

    Attributes:
        id: unique within the trace.
        prompt: the prompt's text.
        prompt_tokens: prompt length in tokens.
        max_tokens: the caller's cap on output tokens.
        arrival_s: seconds after the trace's start.
        output_tokens: TRUE length of the answer, already cut at `max_tokens`; nobody in front of the
            engine sees it.
        known: lengths of other answers to the same prompt, cut at `max_tokens`; None where there are none.
        dataset: where the prompt comes from.
        model: name of the model that answered.
        is_cut_off: the answer ended before its natural end, and not for `max_tokens`.
        tenant: on whose behalf it comes.
        priority: its band, higher first.
        deadline_s: seconds from arrival until its last token is wanted; None for no deadline.
    """

    id: str
    prompt: str
    prompt_tokens: int
    max_tokens: int
    arrival_s: float
    output_tokens: int
    known: LengthDistribution | None = None
    dataset: str = ""
    model: str = ""
    is_cut_off: bool = False
    tenant: str = ""
    priority: int = 0
    deadline_s: float | None = None

    @property
    def censored(self) -> bool:
        """True where the answer was cut off, so that its natural length is not known."""
        return self.is_cut_off or self.output_tokens >= self.max_tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """Requests in order of arrival.

    Attributes:
        requests: at least one.
        rho: work of all requests over `span_s`; nan where all arrive at once.
        seed: what it was drawn with.
        span_s: instant of the last arrival.
    """

    requests: tuple[TraceRequest, ...]
    rho: float
    seed: int
    span_s: float

    def records(self) -> list[Record]:
        """Dataset lines with arrivals and true lengths, to send the very same trace elsewhere."""
        return [
            Record(
                prompt=request.prompt,
                output_tokens=request.output_tokens,
                output_samples=_samples_of(request.known),
                prompt_tokens=request.prompt_tokens,
                max_tokens=request.max_tokens,
                arrival_s=request.arrival_s,
                model=request.model,
                dataset=request.dataset,
                id=request.id,
                censored=request.is_cut_off,
                tenant=request.tenant,
                priority=request.priority,
                deadline_s=request.deadline_s,
            )
            for request in self.requests
        ]


def draw_trace(
    records: Sequence[Record],
    *,
    profile: EngineWork,
    rho: float,
    num_requests: int,
    seed: int,
    repeats: bool = False,
) -> Trace:
    """Draw a trace from a dataset.

    Lines with `arrival_s` are sent as recorded: the first `num_requests` by arrival, `rho` ignored. Otherwise
    lines are drawn by the seed with Poisson arrivals scaled to `rho` exactly.

    Args:
        records: the dataset.
        profile: gives the work of a request, which `rho` is measured in.
        rho: load, > 0; above 1 the queue grows for as long as requests arrive.
        num_requests: how many, >= 1.
        seed: decides everything that is drawn.
        repeats: True draws lines with replacement always; False only where there are fewer lines than
            requests.

    Raises:
        DatasetError: no records, or only some of them have `arrival_s`.
        ValueError: `rho` or `num_requests` out of range.
    """
    if not rho > 0 or not math.isfinite(rho):
        raise ValueError(f"rho must be above 0, got {rho}")
    if num_requests < 1:
        raise ValueError(f"need at least 1 request, got {num_requests}")
    if not records:
        raise DatasetError("no records to draw a trace from")
    lines_rng, lengths_rng, gaps_rng = (
        np.random.default_rng(s) for s in np.random.SeedSequence(seed).spawn(3)
    )
    timed = _timed(records)
    if timed:
        chosen = sorted(records, key=lambda record: record.arrival_s or 0.0)[:num_requests]
    else:
        with_replacement = repeats or num_requests > len(records)
        picks = lines_rng.choice(len(records), size=num_requests, replace=with_replacement)
        chosen = [records[int(pick)] for pick in picks]
    requests = [_request(index, record, lengths_rng) for index, record in enumerate(chosen)]
    work_s = sum(profile.work(request.prompt_tokens, request.output_tokens) for request in requests)
    if timed:
        requests = _named(requests, chosen)
        arrivals = [(record.arrival_s or 0.0) - (chosen[0].arrival_s or 0.0) for record in chosen]
    else:
        arrivals = _poisson_arrivals(num_requests, work_s / rho, gaps_rng)
    span_s = arrivals[-1]
    return Trace(
        requests=tuple(replace(r, arrival_s=at) for r, at in zip(requests, arrivals, strict=True)),
        rho=work_s / span_s if span_s > 0 else math.nan,
        seed=seed,
        span_s=span_s,
    )


def _timed(records: Sequence[Record]) -> bool:
    num_timed = sum(record.arrival_s is not None for record in records)
    if num_timed not in (0, len(records)):
        raise DatasetError(
            f"'arrival_s' is on {num_timed} of {len(records)} lines; give it on all or on none"
        )
    return num_timed > 0


def _request(index: int, record: Record, rng: np.random.Generator) -> TraceRequest:
    """The request without its arrival."""
    output_tokens, known = _truth_and_known(record, rng)
    return TraceRequest(
        id=f"r{index:05d}",
        prompt=record.prompt,
        prompt_tokens=prompt_tokens_of(record),
        max_tokens=record.max_tokens,
        arrival_s=0.0,
        output_tokens=output_tokens,
        known=known,
        dataset=record.dataset,
        model=record.model,
        is_cut_off=record.censored,
        tenant=record.tenant,
        priority=record.priority,
        deadline_s=record.deadline_s,
    )


def _named(requests: Sequence[TraceRequest], records: Sequence[Record]) -> list[TraceRequest]:
    """Recorded requests keep their own names where each has one and no two are equal."""
    names = {record.id for record in records}
    if None in names or len(names) < len(requests):
        return list(requests)
    return [replace(request, id=record.id or "") for request, record in zip(requests, records, strict=True)]


def _poisson_arrivals(num_requests: int, span_s: float, rng: np.random.Generator) -> list[float]:
    """Poisson given its span: the first arrival at 0, the last exactly at `span_s`."""
    instants = np.cumsum(rng.exponential(size=num_requests))
    instants -= instants[0]
    scale = span_s / instants[-1] if num_requests > 1 else 0.0
    return [float(at) for at in instants * scale]


def _truth_and_known(record: Record, rng: np.random.Generator) -> tuple[int, LengthDistribution | None]:
    samples = [min(tokens, record.max_tokens) for tokens in record.output_samples]
    pick = (
        int(rng.integers(len(samples))) if samples else 0
    )  # drawn always: one record never shifts the others
    if record.output_tokens is None:
        truth = samples.pop(pick)
    else:
        truth = min(record.output_tokens, record.max_tokens)
    return truth, LengthDistribution.from_samples(samples) if samples else None


def prompt_tokens_of(record: Record) -> int:
    """Prompt length of a line, estimated where the line does not say."""
    if record.prompt_tokens is not None:
        return record.prompt_tokens
    return math.ceil(len(record.prompt.encode("utf-8")) / UTF8_BYTES_PER_TOKEN)


def _samples_of(known: LengthDistribution | None) -> tuple[int, ...]:
    """Fewest samples whose distribution this is; the nearest `MAX_SAMPLES` where the weights fit none."""
    if known is None:
        return ()
    total = next((n for n in range(1, MAX_SAMPLES) if _whole(known.weights * n)), MAX_SAMPLES)
    copies = np.maximum(np.rint(known.weights * total), 1).astype(int)
    return tuple(int(tokens) for tokens in np.repeat(np.rint(known.tokens), copies))


def _whole(values: FloatArray) -> bool:
    return bool(np.allclose(values, np.rint(values), rtol=0, atol=1e-6))

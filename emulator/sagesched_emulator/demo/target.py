"""A user's own Triton: the same prompts to it directly and through gateways started here, in front of it.

Nothing is emulated, so there are no true lengths to hand over, no engine report and no load to compute: the
arrival rate is given, or `rho` times the rate at which this Triton finishes a burst of other prompts. The
lengths in a dataset were some model's; the predictor is warmed on them only when the prompts are the user's
own.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Self

import numpy as np

from sagesched_emulator.dataset import Record, read_dataset
from sagesched_emulator.demo.errors import StartError
from sagesched_emulator.demo.gateway_process import Prediction, TritonAddresses
from sagesched_emulator.demo.load_process import LoadProcess
from sagesched_emulator.demo.options import Options
from sagesched_emulator.demo.progress import Progress
from sagesched_emulator.demo.scenario import Scenario
from sagesched_emulator.demo.selection import Selection, select
from sagesched_emulator.demo.stand import EngineSeen
from sagesched_emulator.demo.trial import TrialPlan
from sagesched_emulator.demo.warmup import find_encoder, warm_history
from sagesched_emulator.load import LoadRequest, LoadSpec
from sagesched_emulator.load_result import LoadResult
from sagesched_emulator.workload import generate

BURST_REQUESTS = 96
"""Enough to fill the engines of today; the rate is taken from the middle of the burst."""

BURST_TIMEOUT_S = 300.0
RUN_TIMEOUT_S = 3600.0
HTTP_FROM_GRPC = -1
METRICS_FROM_GRPC = 1


class UserTriton:
    """`Stand` of a Triton that runs already and is left alone."""

    def __init__(self, addresses: TritonAddresses) -> None:
        """Take the addresses as they are."""
        self.addresses = addresses

    def seen(self, started_at: float, ended_at: float) -> EngineSeen | None:
        """None: a user's engine is not asked."""
        del started_at, ended_at
        return None

    def hopeless(self) -> str:
        """Empty: nothing is known against it."""
        return ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Leave it running."""


def target_scenario(options: Options, folder: Path, progress: Progress) -> Scenario:
    """Choose prompts, measure the rate where none is given, warm the predictor.

    Args:
        options: the user's; `target` is set.
        folder: where history and logs go; must exist.
        progress: told what happens.

    Raises:
        DatasetError: the dataset cannot be used.
        StartError: the target does not answer, or encoder or history cannot be had.
    """
    addresses = target_addresses(options)
    selection = _selection(options)
    encoder = find_encoder()
    history = None
    if options.dataset is not None:
        progress.stage(f"warming the predictor on {len(selection.warm)} other prompts")
        history = warm_history(selection.warm, encoder, folder, model=options.model, seed=options.seed)
    rate = options.rate
    if rate is None:
        progress.stage(f"measuring the target's rate with {BURST_REQUESTS} requests")
        rate = options.load * finished_per_second(_burst(options, selection, addresses, folder))
    requests = _arrivals(selection.measured, rate, options)
    span_s = requests[-1].arrival_s
    plan = TrialPlan(
        requests=requests,
        stand=lambda time_scale, folder: UserTriton(addresses),
        prediction=Prediction(encoder=encoder, history=history, tokenizer=options.tokenizer),
        model=options.model,
        folder=folder,
        timeout_s=span_s + RUN_TIMEOUT_S,
    )
    return Scenario(
        plan=plan,
        trace={
            "source": "generated" if options.dataset is None else options.dataset.name,
            "target": options.target,
            "num_requests": len(requests),
            "rate": round(rate, 4),
            "seed": options.seed,
            "span_s": round(span_s, 3),
            "warm_prompts": 0 if history is None else len(selection.warm),
        },
        subtitle=f"{len(requests)} prompts at {rate:.3g} per second to {options.target}, seed {options.seed}",
        notes=_notes(options, selection),
    )


def target_addresses(options: Options) -> TritonAddresses:
    """The target's three addresses; those not given are derived from the gRPC port as Triton's defaults are.

    Raises:
        StartError: the gRPC address is not `host:port`.
    """
    host, _, port = (options.target or "").rpartition(":")
    if not host or not port.isdigit():
        raise StartError(f"--target {options.target}: give HOST:PORT of its gRPC service")
    return TritonAddresses(
        grpc=f"{host}:{port}",
        http=options.target_http or f"{host}:{int(port) + HTTP_FROM_GRPC}",
        metrics=options.target_metrics or f"{host}:{int(port) + METRICS_FROM_GRPC}",
    )


def _selection(options: Options) -> Selection:
    num_requests = options.requests_to_send
    if options.dataset is None:
        records, num_warm = generate(num_requests + BURST_REQUESTS, options.seed), BURST_REQUESTS
    else:
        records, num_warm = read_dataset(options.dataset), options.num_warm
    return select(records, num_requests=num_requests, seed=options.seed, max_warm=num_warm)


def _arrivals(records: Sequence[Record], rate: float, options: Options) -> tuple[LoadRequest, ...]:
    """Poisson arrivals at `rate` per second, records in turn by the seed."""
    rng = np.random.default_rng(options.seed)
    num_requests = options.requests_to_send
    picks = rng.choice(len(records), size=num_requests, replace=num_requests > len(records))
    instants = np.cumsum(rng.exponential(1 / rate, size=num_requests))
    return tuple(
        _asked(records[int(pick)], f"r{index:05d}", float(at))
        for index, (pick, at) in enumerate(zip(picks, instants, strict=True))
    )


def _burst(options: Options, selection: Selection, addresses: TritonAddresses, folder: Path) -> LoadResult:
    records = (selection.warm or selection.measured)[:BURST_REQUESTS]
    spec = LoadSpec(
        address=addresses.grpc,
        model=options.model,
        requests=tuple(_asked(record, f"burst-{index}", 0.0) for index, record in enumerate(records)),
        timeout_s=BURST_TIMEOUT_S,
    )
    with LoadProcess(spec, folder) as load:
        for _ in load.progress():
            pass
        return load.result()


def finished_per_second(burst: LoadResult) -> float:
    """The rate in the middle of the burst, where the engine is neither filling nor emptying.

    Raises:
        StartError: there were no two answers.
    """
    ends = np.sort([timing.last_at or 0.0 for timing in burst.completed])
    if ends.size < 2:
        first = next((timing.error for timing in burst.timings if timing.error), "no answer")
        raise StartError(f"the target answered none of {len(burst.timings)} requests: {first}")
    begin, end = ends.size // 10, ends.size - 1 - ends.size // 4
    return float((end - begin) / max(ends[end] - ends[begin], 1e-3))


def _asked(record: Record, request_id: str, arrival_s: float) -> LoadRequest:
    return LoadRequest(id=request_id, prompt=record.prompt, max_tokens=record.max_tokens, arrival_s=arrival_s)


def _notes(options: Options, selection: Selection) -> tuple[str, ...]:
    notes = [selection.note] if selection.note else []
    if options.dataset is None:
        notes.append("generated prompts say nothing of your model's lengths: the predictor starts empty")
    if options.rate is None:
        notes.append("arrivals follow the rate that a short burst reached; give --rate to choose it")
    return tuple(notes)

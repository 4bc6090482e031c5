"""One run: a fresh Triton, a gateway of its own in front or none, the trace, and what was seen.

Runs share the trace and the history that each predictor starts with, so that they differ in the order of
requests and in nothing else.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from sagesched_emulator.demo.errors import HopelessRunError
from sagesched_emulator.demo.gateway_process import GatewayProcess, Prediction, gateway_config
from sagesched_emulator.demo.load_process import LoadProcess
from sagesched_emulator.demo.queue_watch import QueueWatch
from sagesched_emulator.demo.stand import EngineSeen, Stand
from sagesched_emulator.figures import Figures, figures
from sagesched_emulator.load import LoadRequest, LoadSpec
from sagesched_emulator.load_result import LoadResult

DIRECT = "direct"
"""Name of the run without a gateway."""

LOOK_EVERY_S = 5.0
"""How often a run is asked whether it can still count."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialPlan:
    """What all runs have in common.

    Attributes:
        requests: the trace as a client knows it.
        stand: makes the Triton of a run, by time scale and a folder for its log.
        prediction: what each gateway's predictor starts with.
        model: name of the served model.
        folder: where configurations and logs go; must exist.
        timeout_s: engine seconds after which a run is given up.
    """

    requests: tuple[LoadRequest, ...]
    stand: Callable[[float, Path], Stand]
    prediction: Prediction
    model: str
    folder: Path
    timeout_s: float = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One run, measured.

    Attributes:
        name: `direct`, or the policy.
        time_scale: wall seconds per engine second.
        figures: latencies, engine seconds.
        load: the client's timings, wall seconds.
        mean_queue: requests waiting, averaged from first arrival to last answer, in gateway and engine
            together; None where nobody could be asked.
        engine: what the emulated engine reports; None for a user's own Triton.
        gateway_queue: (Unix time, requests waiting in the gateway) about twice a second; empty without one.
    """

    name: str
    time_scale: float
    figures: Figures
    load: LoadResult = field(repr=False)
    mean_queue: float | None
    engine: EngineSeen | None
    gateway_queue: tuple[tuple[float, float], ...] = field(default=(), repr=False)

    @property
    def policy(self) -> str | None:
        """The gateway's policy; None without a gateway."""
        return None if self.name == DIRECT else self.name

    @property
    def starved(self) -> str:
        """Why the run does not count, in words; empty when it does."""
        if self.engine is not None and not self.engine.report.valid:
            return self.engine.report.why_invalid()
        if self.load.late:
            return f"the load client woke or sent {self.load.late_p99_s * 1e3:.0f} ms late (p99)"
        return ""


def run_trial(
    plan: TrialPlan, name: str, time_scale: float, on_progress: Callable[[int], None] = lambda ended: None
) -> Trial:
    """Send the trace once.

    Args:
        plan: what all runs have in common.
        name: `direct`, or the policy of the gateway.
        time_scale: wall seconds per engine second.
        on_progress: called about twice a second with the number of answers that have ended.

    Raises:
        HopelessRunError: this machine clearly does not keep up at this time scale.
        DemoError: something did not start or did not answer.
    """
    watch = QueueWatch()
    look_at = time.monotonic() + LOOK_EVERY_S
    with ExitStack() as stack:
        triton = stack.enter_context(plan.stand(time_scale, plan.folder))
        address, gateway = triton.addresses.grpc, None
        if name != DIRECT:
            config = gateway_config(triton.addresses, name, plan.prediction)
            gateway = stack.enter_context(GatewayProcess(config, plan.folder, name))
            address = gateway.grpc_address
        spec = LoadSpec(
            address=address,
            model=plan.model,
            requests=plan.requests,
            time_scale=time_scale,
            timeout_s=plan.timeout_s * time_scale,
        )
        load = stack.enter_context(LoadProcess(spec, plan.folder))
        for progress in load.progress():
            on_progress(progress.ended)
            if gateway is not None and (queued := gateway.num_queued()) is not None:
                watch.add(time.time(), queued)
            if time.monotonic() > look_at:
                look_at = time.monotonic() + LOOK_EVERY_S
                if reason := triton.hopeless():
                    raise HopelessRunError(reason)
        result = load.result()
    engine = triton.seen(result.started_at, result.ended_at)
    waiting = [] if gateway is None else [watch.mean(result.started_at, result.ended_at)]
    if engine is not None:
        waiting.append(engine.mean_queue)
    return Trial(
        name=name,
        time_scale=time_scale,
        figures=figures(result.timings, time_scale),
        load=result,
        mean_queue=sum(waiting) if waiting else None,
        engine=engine,
        gateway_queue=watch.samples,
    )

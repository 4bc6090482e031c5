"""Settings swapped again and again under load: is anything lost, and how soon is a swap in effect?

    python bench/reload_under_load.py --reloads 20 --requests 300

A real tritonserver with the `slot-bound` engine serves generated prompts through the gateway at a load that
keeps a queue, while the mounted settings are swapped as kubelet swaps them: every third time to nonsense,
else to the next policy. Each request must come back complete and reach the engine once; a swap is in effect
when /status says so (asked each 20 ms). The same load without any reload comes first: the policies differ,
so the times of the two runs are no comparison, but a stall would show.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sagesched_emulator.answers import write_answers
from sagesched_emulator.config_mount import ConfigMount
from sagesched_emulator.demo.emulated_triton import EmulatedTriton
from sagesched_emulator.demo.errors import DemoError
from sagesched_emulator.demo.gateway_process import GatewayProcess, Prediction, gateway_config
from sagesched_emulator.engine_report import EngineRequest
from sagesched_emulator.load import LoadRequest, LoadSpec, run_load
from sagesched_emulator.load_result import LoadResult
from sagesched_emulator.profiles import profile
from sagesched_emulator.trace import Trace, draw_trace
from sagesched_emulator.workload import generate

MODEL = "ensemble"
ENGINE = "slot-bound"
POLICIES = ("fcfs", "ssjf", "sagesched", "gittins-boost")
ASK_EACH_S = 0.02
PATIENCE_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What one load saw.

    Attributes:
        result: the client's timings.
        engine: what the engine ended meanwhile.
        counters: the gateway's own totals.
        taken_s: per valid swap, seconds until it was in effect.
        refused_s: per nonsense swap, seconds until it was told.
        log_lines: of the gateway's log that tell of a refusal.
    """

    result: LoadResult
    engine: list[EngineRequest]
    counters: dict[str, int]
    taken_s: list[float]
    refused_s: list[float]
    log_lines: int


class Swapper:
    """Swaps the settings of a gateway and waits for what it says of them."""

    def __init__(self, gateway: GatewayProcess, config: dict[str, object], mount: ConfigMount) -> None:
        self._gateway = gateway
        self._config = config
        self._mount = mount
        self.taken_s: list[float] = []
        self.refused_s: list[float] = []

    def swap_often(self, number: int, each_s: float) -> None:
        """So many swaps, begun `each_s` seconds apart."""
        began_at = time.monotonic()
        for index in range(number):
            time.sleep(max(0.0, began_at + (index + 0.5) * each_s - time.monotonic()))
            if index % 3 == 2:
                self._swap(f"nonsense-{index}")
                self.refused_s.append(self._seconds_until(_is_refused(f"nonsense-{index}")))
            else:
                policy = POLICIES[(index + 1) % len(POLICIES)]
                self._swap(policy)
                self.taken_s.append(self._seconds_until(_is_in_effect(policy)))

    def _swap(self, policy: str) -> None:
        self._mount.swap(json.dumps(self._config | {"scheduling": {"policy": policy}}))

    def _seconds_until(self, condition: Callable[[dict[str, object]], bool]) -> float:
        began_at = time.monotonic()
        while not condition(self._gateway.status()):
            if time.monotonic() - began_at > PATIENCE_S:
                raise DemoError("the gateway did not notice a swap")
            time.sleep(ASK_EACH_S)
        return time.monotonic() - began_at


def _is_in_effect(policy: str) -> Callable[[dict[str, object]], bool]:
    return lambda status: status["policy"] == policy and not _error_of(status)


def _is_refused(policy: str) -> Callable[[dict[str, object]], bool]:
    return lambda status: f"'{policy}'" in _error_of(status)


def _error_of(status: dict[str, object]) -> str:
    config = status["config"]
    assert isinstance(config, dict)
    return str(config["error"])


async def _loaded(spec: LoadSpec, swapper: Swapper, reloads: int) -> LoadResult:
    span_s = spec.requests[-1].arrival_s * spec.time_scale
    swapping = asyncio.to_thread(swapper.swap_often, reloads, span_s / max(1, reloads))
    result, _ = await asyncio.gather(run_load(spec), swapping)
    return result


def _run(arguments: argparse.Namespace, trace: Trace, reloads: int, folder: Path) -> Run:
    """The load once, with so many reloads, on a Triton and a gateway of its own."""
    folder.mkdir()
    answers = folder / "answers.jsonl"
    write_answers(answers, trace.requests)
    triton = EmulatedTriton(
        profile=ENGINE,
        time_scale=arguments.time_scale,
        stream_interval=1,
        answers=answers,
        model=MODEL,
        folder=folder,
    )
    with triton:
        config = gateway_config(triton.addresses, POLICIES[0], Prediction(enabled=False))
        config["drain"] = {"maxSeconds": 30}
        mount = ConfigMount(folder, "gateway-reload.yaml", "")
        gateway = GatewayProcess(config, folder, "reload")
        with gateway:
            swapper = Swapper(gateway, config, mount)
            result = asyncio.run(_loaded(_spec(gateway.grpc_address, trace, arguments), swapper, reloads))
            counters = gateway.status()["counters"]
            assert isinstance(counters, dict)
        engine = _ended_in_engine(triton, result)
    log = gateway.log_path.read_text(encoding="utf-8")
    return Run(
        result=result,
        engine=engine,
        counters=counters,
        taken_s=swapper.taken_s,
        refused_s=swapper.refused_s,
        log_lines=log.count("settings refused"),
    )


def _ended_in_engine(triton: EmulatedTriton, result: LoadResult) -> list[EngineRequest]:
    """What the engine ended of the gateway's; it reports about once a second, so the last ones come late."""
    give_up_at = time.monotonic() + PATIENCE_S
    while True:
        reported = triton.seen(result.started_at, result.ended_at).report.requests
        ended = [request for request in reported if request.id.startswith("sagesched-")]
        if len(ended) >= len(result.timings) or time.monotonic() > give_up_at:
            return ended
        time.sleep(0.2)


def _spec(address: str, trace: Trace, arguments: argparse.Namespace) -> LoadSpec:
    requests = tuple(
        LoadRequest(id=r.id, prompt=r.prompt, max_tokens=r.max_tokens, arrival_s=r.arrival_s)
        for r in trace.requests
    )
    return LoadSpec(address=address, model=MODEL, requests=requests, time_scale=arguments.time_scale)


def _print(name: str, run: Run) -> bool:
    """Print what a run saw; returns whether nothing was lost."""
    timings = run.result.timings
    complete = [timing for timing in timings if timing.error is None]
    ttlt_s = np.array([timing.ttlt_s for timing in complete])
    in_engine = len(run.engine)
    print(
        f"{name}: {len(timings)} requests, {len(complete)} complete, {in_engine} in the engine, gateway "
        f"counts {run.counters['received']} received and {run.counters['completed']} completed; "
        f"TTLT mean {ttlt_s.mean():.2f} s, p99 {np.quantile(ttlt_s, 0.99):.2f} s"
    )
    for what, seconds in (("in effect", run.taken_s), ("refused", run.refused_s)):
        if seconds:
            print(
                f"  {len(seconds)} swaps {what} after median {np.median(seconds):.2f} s, at most "
                f"{max(seconds):.2f} s"
            )
    if run.refused_s:
        print(f"  {run.log_lines} lines in the log tell of {len(run.refused_s)} refusals")
    for error in sorted({timing.error for timing in timings if timing.error}):
        print(f"  lost: {error}")
    return len(complete) == len(timings) == in_engine == run.counters["completed"]


def main(argv: Sequence[str] | None = None) -> int:
    arguments = _parser().parse_args(argv)
    records = generate(arguments.requests, arguments.seed)
    trace = draw_trace(
        records,
        profile=profile(ENGINE),
        rho=arguments.rho,
        num_requests=arguments.requests,
        seed=arguments.seed,
    )
    try:
        with tempfile.TemporaryDirectory() as folder:
            runs = {
                f"{reloads} reloads": _run(arguments, trace, reloads, Path(folder) / str(reloads))
                for reloads in (0, arguments.reloads)
            }
    except DemoError as error:
        print(f"reload_under_load: {error}", file=sys.stderr)
        return 1
    print(f"engine {ENGINE}, load {arguments.rho:g}, span {trace.span_s * arguments.time_scale:.0f} s")
    is_whole = [_print(name, run) for name, run in runs.items()]
    return 0 if all(is_whole) else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--reloads", type=int, default=20, help="default: %(default)s")
    parser.add_argument("--requests", type=int, default=300, help="default: %(default)s")
    parser.add_argument("--rho", type=float, default=1.1, help="load (default: %(default)s)")
    parser.add_argument("--time-scale", type=float, default=0.5, help="wall per engine second")
    parser.add_argument("--seed", type=int, default=0)
    return parser


if __name__ == "__main__":
    sys.exit(main())

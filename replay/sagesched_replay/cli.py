"""`sagesched-replay`: what would another policy have done with this traffic?"""

from __future__ import annotations

import argparse
import json
import sys
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path

from tqdm import tqdm

from sagesched_emulator.dataset import Record, read_dataset
from sagesched_emulator.profiles import PROFILES, profile
from sagesched_emulator.trace import Trace, draw_trace
from sagesched_emulator.workload import generate
from sagesched_gateway.scheduling.settings import PolicySettings
from sagesched_predictor.errors import PredictorError
from sagesched_replay.adaptation import set_apart
from sagesched_replay.inside.preemption import Preemption, Way
from sagesched_replay.knowledge import (
    KINDS,
    Ignorance,
    Knowledge,
    OtherAnswers,
    knows_other_answers,
    learned,
    model_of,
    open_artifact,
)
from sagesched_replay.replay import BLIND, ReplaySettings, replay
from sagesched_replay.report import RunFigures, frontier_table, run_figures
from sagesched_replay.told import ALL_ORACLES, ALL_POLICIES, told

DEFAULT_POLICIES = ("fcfs", "ssjf", "sagesched", "gittins-boost")
DEFAULT_REQUESTS = 3000

DESCRIPTION = """\
Send a trace through the scheduler of the gateway and an emulated engine, in virtual time: thousands of
requests in seconds, once per policy, all else equal."""

EXAMPLES = """\
examples:
  sagesched-replay run --engine kv-bound --rho 1.05 --policy fcfs --policy gittins-boost --json out.json
  sagesched-replay run --data traffic.jsonl --engine h100-8b --rho 0.9 --warm history.jsonl
  sagesched-replay run --data recording.jsonl --distribution none      what a gateway has recorded

A data file has one JSON object per line: "prompt" and "output_tokens" or "output_samples", optional
"prompt_tokens", "max_tokens", "arrival_s", "model", "dataset", "id", "censored". With "arrival_s" on every
line the arrivals are those of the file. A gateway's recording (its setting recorder.file) is such a file;
made without prompts, it serves all that need none: --distribution none, true, and policies that know nothing.
"""


class _WholeNames(argparse.RawDescriptionHelpFormatter):
    """Does not break policies' names at their hyphens: people search for them."""

    def _split_lines(self, text: str, width: int) -> list[str]:
        return textwrap.wrap(" ".join(text.split()), width, break_on_hyphens=False)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code (2 for what the caller has to correct)."""
    arguments = _parser().parse_args(argv)
    try:
        return _run(arguments)
    except (ValueError, OSError, PredictorError) as error:
        message = str(error).replace("\n", " ")
        print(f"sagesched-replay: {message}", file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="sagesched-replay", description=DESCRIPTION)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    run = commands.add_parser(
        "run",
        help="replay a trace with one or more policies",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=_WholeNames,
    )
    trace = run.add_argument_group("the trace")
    trace.add_argument("--data", type=Path, help="dataset file (JSONL); without it prompts are generated")
    trace.add_argument(
        "--rho", type=float, default=1.0, help="work / span of arrivals (default: %(default)s)"
    )
    trace.add_argument(
        "--requests", type=int, default=DEFAULT_REQUESTS, metavar="N", help="default: %(default)s"
    )
    trace.add_argument("--seed", type=int, default=0, help="decides all that is drawn (default: %(default)s)")
    run.add_argument("--engine", default="kv-bound", metavar="PROFILE", help=f"one of {', '.join(PROFILES)}")
    policy = run.add_argument_group("the gateway")
    policy.add_argument(
        "--policy",
        action="append",
        metavar="NAME",
        help=f"repeat for several: {', '.join(ALL_POLICIES)} (no gateway); from fcfs@engine on the engine "
        f"itself chooses its batch by the policy; default: {', '.join(DEFAULT_POLICIES)}",
    )
    policy.add_argument("--tail-weight", type=float, default=1.0, metavar="C", help="of gittins-boost")
    policy.add_argument(
        "--age-guard", action="store_true", help="ssjf serves by age what has waited very long"
    )
    policy.add_argument(
        "--distribution",
        choices=KINDS,
        default="predictor",
        help="what it knows: other answers to the same prompt, the predictor, nothing (default: %(default)s)",
    )
    policy.add_argument(
        "--warm", type=Path, metavar="FILE", help="dataset that the predictor has seen before"
    )
    policy.add_argument(
        "--adapt",
        type=int,
        default=0,
        metavar="N",
        help="the predictor first observes one answer to each of N prompts, which are then not replayed",
    )
    policy.add_argument(
        "--artifact", type=Path, metavar="FOLDER", help="predictor to use (default: the shipped one)"
    )
    policy.add_argument(
        "--kv-headroom",
        type=float,
        metavar="N",
        help="KV kept free at a start, in iterations of growth of all that run (default: the core's)",
    )
    policy.add_argument(
        "--preemption",
        choices=[way.value for way in Way],
        default=Way.SWAP.value,
        help="inside the engine: what is put aside goes to host memory or is prefilled again "
        "(default: %(default)s)",
    )
    policy.add_argument("--stream-interval", type=int, default=16, metavar="K", help="stream each K-th token")
    run.add_argument("--json", type=Path, metavar="FILE", help="write the figures here")
    return parser


def _run(arguments: argparse.Namespace) -> int:
    engine = profile(arguments.engine)
    policies = _policies(arguments)
    all_blind = all(settings.name in BLIND | ALL_ORACLES for settings in policies)
    needs_prompts = arguments.distribution == "predictor" and not all_blind
    replayed, observed = _records(arguments, needs_prompts)
    trace = draw_trace(
        replayed,
        profile=engine,
        rho=arguments.rho,
        num_requests=arguments.requests,
        seed=arguments.seed,
        repeats=arguments.data is not None,
    )
    make_knowledge = Ignorance if all_blind else _knowledge(arguments, trace, observed)
    runs = []
    for settings in policies:
        with tqdm(
            total=len(trace.requests), desc=settings.name, unit="request", leave=False, disable=None
        ) as bar:
            gateway = ReplaySettings(
                policy=settings,
                stream_interval=arguments.stream_interval,
                kv_headroom_iterations=arguments.kv_headroom,
                preemption=Preemption(way=Way(arguments.preemption)),
            )
            runs.append(
                run_figures(replay(trace, engine, gateway, told(settings.name, make_knowledge), bar.update))
            )
    print(_title(arguments, trace))
    print(frontier_table(runs))
    if arguments.json:
        arguments.json.write_text(json.dumps(_summary(arguments, trace, runs), indent=2) + "\n")
    return 0


def _policies(arguments: argparse.Namespace) -> list[PolicySettings]:
    names = list(dict.fromkeys(arguments.policy or DEFAULT_POLICIES))
    for name in names:
        if name not in ALL_POLICIES:
            raise ValueError(f"unknown policy {name!r}, one of {', '.join(ALL_POLICIES)}")
    return [
        PolicySettings(name=name, tail_weight=arguments.tail_weight, age_guard=arguments.age_guard)
        for name in names
    ]


def _records(arguments: argparse.Namespace, needs_prompts: bool) -> tuple[list[Record], list[Record]]:
    """Lines to replay, and lines to observe before."""
    if arguments.adapt < 0:
        raise ValueError(f"--adapt must be at least 0, got {arguments.adapt}")
    if arguments.data is None:
        records = generate(max(arguments.requests, 1) + arguments.adapt, arguments.seed)
    else:
        records = read_dataset(arguments.data, needs_prompts=needs_prompts)
    return set_apart(records, arguments.adapt, arguments.seed)


def _knowledge(
    arguments: argparse.Namespace, trace: Trace, observed: Sequence[Record]
) -> Callable[[], Knowledge]:
    """Makes what each run knows; fresh for each, since a predictor learns."""
    if arguments.distribution != "predictor" and (arguments.warm or arguments.artifact or arguments.adapt):
        raise ValueError("--warm, --adapt and --artifact are for --distribution predictor")
    if arguments.distribution == "none":
        return Ignorance
    if arguments.distribution == "true":
        if not knows_other_answers(trace):
            raise ValueError(
                "--distribution true needs two 'output_samples' or more; use predictor or none with this file"
            )
        return OtherAnswers
    warm = [*(read_dataset(arguments.warm) if arguments.warm else []), *observed]
    artifact = open_artifact(arguments.artifact)
    prompts = [record.prompt for record in warm] + [request.prompt for request in trace.requests]
    with tqdm(total=len(set(prompts)), desc="prompts", unit="prompt", leave=False, disable=None) as bar:
        artifact.embeddings.prepare(prompts, bar.update)
    model = model_of([*warm, *trace.requests])
    return lambda: learned(artifact, warm, seed=arguments.seed, model=model)


def _title(arguments: argparse.Namespace, trace: Trace) -> str:
    source = arguments.data.name if arguments.data else "generated prompts"
    return (
        f"{len(trace.requests)} requests of {source} over {trace.span_s:.0f} s (rho {trace.rho:.2f}) on "
        f"{arguments.engine}, seed {trace.seed}, distribution {arguments.distribution}"
    )


def _summary(arguments: argparse.Namespace, trace: Trace, runs: Sequence[RunFigures]) -> dict[str, object]:
    return {
        "trace": {
            "data": str(arguments.data) if arguments.data else None,
            "engine": arguments.engine,
            "requests": len(trace.requests),
            "rho": trace.rho,
            "seed": trace.seed,
            "span_s": trace.span_s,
            "distribution": arguments.distribution,
            "observed_before": arguments.adapt,
            "tail_weight": arguments.tail_weight,
        },
        "runs": [run.as_json() for run in runs],
    }


if __name__ == "__main__":
    sys.exit(main())

"""The command line of `sagesched-replay`: words and defaults."""

from __future__ import annotations

import argparse
import textwrap
from pathlib import Path

from sagesched_emulator.profiles import PROFILES
from sagesched_replay.fleet import Balancer
from sagesched_replay.inside.preemption import Way
from sagesched_replay.knowledge import KINDS
from sagesched_replay.told import ALL_POLICIES

DEFAULT_POLICIES = ("fcfs", "ssjf", "sagesched", "gittins-boost")
DEFAULT_REQUESTS = 3000
FRONTIER_WEIGHTS = (0.25, 0.5, 1.0, 2.0, 4.0)

DESCRIPTION = """\
Send a trace through the scheduler of the gateway and an emulated engine, in virtual time: thousands of
requests in seconds, once per policy, all else equal."""

EXAMPLES = """\
examples:
  sagesched-replay run --engine kv-bound --rho 1.05 --policy fcfs --policy gittins-boost --json out.json
  sagesched-replay run --data traffic.jsonl --engine h100-8b --rho 0.9 --warm history.jsonl --seeds 10
  sagesched-replay run --data recording.jsonl --engine fit:recording.jsonl --html report.html
  sagesched-replay run --data recording.jsonl --distribution none --replicas 2 --replicas 4 --rate-scale 1.5
  sagesched-replay run --data AzureLLMInferenceTrace_code.csv --distribution by-prompt-tokens --rho 0.9

A data file is one of
  dataset, recording   one JSON object per line: "prompt" and "output_tokens" or "output_samples", optional
                       "prompt_tokens", "max_tokens", "arrival_s", "model", "dataset", "id", "censored",
                       "tenant", "priority", "deadline_s" (which count with --config). With "arrival_s" on
                       every line the arrivals are those of the file. A gateway's recording
                       (its setting recorder.file) is such a file; made without prompts, it serves all that
                       need none: --distribution none, by-prompt-tokens, and policies that know nothing
  Azure                TIMESTAMP,ContextTokens,GeneratedTokens
  Mooncake             JSON lines of timestamp, input_length, output_length
  ServeGen             a folder with *_client_rates.csv and *_length_hists.jsonl
  length pairs         a CSV with num_prefill_tokens,num_decode_tokens or prompt_tokens,output_tokens
The last four have no prompts; .xz and .gz of them are unpacked.
"""

FIT_DESCRIPTION = """\
Fit an engine's step time and limits to a gateway's recording, and print how well it foretells requests left
out of the fit. The recording needs answers that streamed (their first token shows) at different loads."""


class _WholeNames(argparse.RawDescriptionHelpFormatter):
    """Does not break policies' names at their hyphens: people search for them."""

    def _split_lines(self, text: str, width: int) -> list[str]:
        return textwrap.wrap(" ".join(text.split()), width, break_on_hyphens=False)


def make_parser() -> argparse.ArgumentParser:
    """The whole command line."""
    parser = argparse.ArgumentParser(prog="sagesched-replay", description=DESCRIPTION)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    run = commands.add_parser(
        "run",
        help="replay a trace with one or more policies",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=_WholeNames,
    )
    _add_trace(run.add_argument_group("the trace"))
    run.add_argument(
        "--engine",
        default="kv-bound",
        metavar="ENGINE",
        help=f"one of {', '.join(PROFILES)}; or fit:RECORDING; or a file that `fit` has written",
    )
    _add_variants(run.add_argument_group("what is compared (each may be repeated)"))
    _add_gateway(run.add_argument_group("the gateway"))
    out = run.add_argument_group("what comes out")
    out.add_argument("--json", type=Path, metavar="FILE", help="write the figures here")
    out.add_argument("--html", type=Path, metavar="FILE", help="write a report with plots here, one file")
    _add_fit(
        commands.add_parser(
            "fit",
            help="fit an engine to a gateway's recording",
            description=FIT_DESCRIPTION,
            formatter_class=_WholeNames,
        )
    )
    return parser


def _add_trace(trace: argparse._ArgumentGroup) -> None:
    trace.add_argument(
        "--data", type=Path, help="file of requests, see below; without it prompts are generated"
    )
    trace.add_argument(
        "--rho",
        type=float,
        help="load: work / span of arrivals, per replica of the first --replicas (default: 1; of a file with "
        "arrivals: as recorded)",
    )
    trace.add_argument(
        "--rate-scale", type=float, metavar="X", help="of a file with arrivals: X times as many per second"
    )
    trace.add_argument(
        "--requests",
        type=int,
        metavar="N",
        help=f"default: {DEFAULT_REQUESTS}; of a file with arrivals: all (of ServeGen's: {DEFAULT_REQUESTS})",
    )
    trace.add_argument(
        "--from", dest="from_s", type=float, default=0.0, metavar="S", help="begin S seconds into the file"
    )
    trace.add_argument(
        "--max-tokens", type=int, metavar="N", help="cap on output of traces that have none of their own"
    )
    trace.add_argument("--seed", type=int, default=0, help="decides all that is drawn (default: %(default)s)")
    trace.add_argument(
        "--seeds",
        type=int,
        default=1,
        metavar="N",
        help="draw N traces, from --seed on (default: %(default)s)",
    )
    trace.add_argument(
        "--warmup",
        default="0",
        metavar="N|P%%",
        help="leave the first N requests, or P %% of them, out of the figures (default: %(default)s)",
    )


def _add_variants(compared: argparse._ArgumentGroup) -> None:
    compared.add_argument(
        "--policy",
        action="append",
        metavar="NAME",
        help=f"one of {', '.join(ALL_POLICIES)} (no gateway); from fcfs@engine on the engine "
        f"itself chooses its batch by the policy; default: {', '.join(DEFAULT_POLICIES)}",
    )
    compared.add_argument(
        "--tail-weight", type=float, action="append", metavar="C", help="of gittins-boost (default: 1)"
    )
    compared.add_argument(
        "--replicas",
        type=int,
        action="append",
        metavar="N",
        help="engines, each behind its own gateway (default: 1)",
    )
    compared.add_argument(
        "--balancer",
        action="append",
        choices=[balancer.value for balancer in Balancer],
        help="how a request finds its replica (default: round-robin); global: one queue before all engines, "
        "for comparison",
    )


def _add_gateway(gateway: argparse._ArgumentGroup) -> None:
    gateway.add_argument(
        "--age-guard", action="store_true", help="ssjf serves by age what has waited very long"
    )
    gateway.add_argument(
        "--distribution",
        choices=KINDS,
        default="predictor",
        help="what it knows: other answers to the same prompt, the predictor, answers to prompts of about "
        "the same size, nothing (default: %(default)s)",
    )
    gateway.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help="a gateway's settings: deadlines, limits.queuedSeconds, limits.sheddableBelow and tenants are "
        "as it says; without one nothing is refused, and recorded tenants, priorities and deadlines do not "
        "count",
    )
    gateway.add_argument(
        "--warm", type=Path, metavar="FILE", help="dataset that the predictor has seen before"
    )
    gateway.add_argument(
        "--adapt",
        type=int,
        default=0,
        metavar="N",
        help="the predictor first observes one answer to each of N prompts, which are then not replayed",
    )
    gateway.add_argument(
        "--artifact", type=Path, metavar="FOLDER", help="predictor to use (default: the shipped one)"
    )
    gateway.add_argument(
        "--kv-headroom",
        type=float,
        metavar="N",
        help="KV kept free at a start, in iterations of growth of all that run (default: the core's)",
    )
    gateway.add_argument(
        "--preemption",
        choices=[way.value for way in Way],
        default=Way.SWAP.value,
        help="inside the engine: what is put aside goes to host memory or is prefilled again "
        "(default: %(default)s)",
    )
    gateway.add_argument(
        "--stream-interval", type=int, default=16, metavar="K", help="stream each K-th token"
    )


def _add_fit(fit: argparse.ArgumentParser) -> None:
    fit.add_argument("--data", type=Path, required=True, metavar="RECORDING", help="a gateway's recording")
    fit.add_argument(
        "--out", type=Path, metavar="FILE", help="write the engine here, for `run --engine FILE`"
    )
    fit.add_argument("--slots", type=int, help="places in the running batch (default: from the recording)")
    fit.add_argument(
        "--kv-tokens", type=int, help="tokens that the KV cache holds (default: from the recording)"
    )
    fit.add_argument(
        "--reserves-ahead", action="store_true", help="the engine reserves KV for max_tokens at the start"
    )

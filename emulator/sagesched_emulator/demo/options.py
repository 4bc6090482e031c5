"""`Options`: what the user asked the demo for, and what is meant where nothing was said. PURE."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sagesched_emulator.dataset import Record

WARM_PROMPTS = 1000
GENERATED_REQUESTS = 500
GENERATED_RHO = 1.6
DATASET_REQUESTS = 800
DATASET_RHO = 1.3
FIRST_TIME_SCALE = 0.75
"""Wall seconds per engine second that two cores keep up with; slower ones are tried where they do not."""

POLICIES = ("fcfs", "ssjf", "sagesched", "gittins-boost")


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Command line of the demo, parsed.

    Attributes:
        dataset: JSONL of real prompts; None generates prompts.
        num_requests: how many to send; None takes the usual number of the source.
        rho: load; None takes the usual one of the source.
        num_warm: other prompts that the predictor has seen before, at most; 0 starts it empty.
        seed: decides trace and warm-up.
        prefer: which records of the dataset are measured before all others; None has no preference.
        profile: name of the emulated engine.
        time_scale: wall seconds per engine second; None finds one that this machine keeps up with.
        stream_interval: the emulated engine streams each so many-th token.
        policies: run after `direct`, in the order of the table.
        target: gRPC address of the user's own Triton; None emulates one.
        target_http: its HTTP address; None derives it.
        target_metrics: its metrics address; None derives it.
        model: name of the text model to ask.
        tokenizer: the target's `tokenizer.json`; None estimates prompt lengths.
        rate: requests per second to the target; None measures.
        out: folder for results.
    """

    dataset: Path | None = None
    num_requests: int | None = None
    rho: float | None = None
    num_warm: int = WARM_PROMPTS
    seed: int = 0
    prefer: Callable[[Record], bool] | None = None
    profile: str = "kv-bound"
    time_scale: float | None = None
    stream_interval: int = 16
    policies: tuple[str, ...] = POLICIES
    target: str | None = None
    target_http: str | None = None
    target_metrics: str | None = None
    model: str = "ensemble"
    tokenizer: Path | None = None
    rate: float | None = None
    out: Path = Path("build/demo")

    @property
    def requests_to_send(self) -> int:
        """`num_requests`, or the usual number."""
        return self.num_requests or (DATASET_REQUESTS if self.dataset else GENERATED_REQUESTS)

    @property
    def load(self) -> float:
        """`rho`, or the usual one."""
        return self.rho or (DATASET_RHO if self.dataset else GENERATED_RHO)

"""Small engines and traces for policies inside an engine."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from sagesched_emulator.profiles import EngineProfile
from sagesched_emulator.step_time import StepTime
from sagesched_emulator.trace import Trace, TraceRequest
from sagesched_predictor import LengthDistribution
from sagesched_replay.inside.engine import InsideEngine
from sagesched_replay.inside.preemption import Preemption
from sagesched_replay.knowledge import OtherAnswers
from sagesched_replay.run import Served

FREE = Preemption(swap_s_per_token=0.0, headroom_iterations=0)


@pytest.fixture
def an_engine() -> Callable[..., EngineProfile]:
    """Iterations of one second and blocks of one token."""

    def make(slots: int = 1, kv_tokens: int = 10_000, prefill_s: float = 0.0) -> EngineProfile:
        return EngineProfile(
            name="tiny",
            step_time=StepTime(1.0, 0.0, 0.0, prefill_s),
            max_batch_size=slots,
            max_num_tokens=10_000,
            kv_blocks=kv_tokens,
            block_tokens=1,
        )

    return make


@pytest.fixture
def a_request() -> Callable[..., TraceRequest]:
    """`known`: the lengths that policies are told, the true one where it is left out."""

    def make(
        name: str, output: int, at: float = 0.0, prompt: int = 1, known: Sequence[int] = (), cap: int = 1000
    ) -> TraceRequest:
        return TraceRequest(
            id=name,
            prompt="",
            prompt_tokens=prompt,
            max_tokens=cap,
            arrival_s=at,
            output_tokens=output,
            known=LengthDistribution.from_samples(known or [output]),
        )

    return make


@pytest.fixture
def serve() -> Callable[..., dict[str, Served]]:
    """Run requests, in order of arrival, through a policy; what became of each by name."""

    def run(make_policy, profile, *requests, preemption=FREE) -> dict[str, Served]:
        trace = Trace(requests=requests, rho=1.0, seed=0, span_s=requests[-1].arrival_s)
        engine = InsideEngine(trace, profile, make_policy, OtherAnswers(), preemption)
        return {served.request.id: served for served in engine.run("tested").served}

    return run

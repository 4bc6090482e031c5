"""Going through iterations without the calendar, where nothing else is due, changes nothing at all."""

from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sagesched_emulator.profiles import EngineProfile
from sagesched_emulator.step_time import StepTime
from sagesched_emulator.trace import Trace, TraceRequest
from sagesched_gateway.scheduling.capacity import KvPolicy
from sagesched_gateway.scheduling.settings import PolicySettings
from sagesched_predictor import LengthDistribution
from sagesched_replay.knowledge import OtherAnswers
from sagesched_replay.replay import MEASURED_EVERY_S, Replay
from sagesched_replay.run import ReplayRun, ReplaySettings
from sagesched_replay.virtual_time import LAST


class PlannedReplay(Replay):
    """Each iteration is planned and reads the engine's gauges: slow and plain."""

    def _step(self) -> None:
        if self.engine.idle:
            self._stepping = False
            return
        iteration = self.engine.step(self.time.now)
        duration_s = iteration.ended_at - iteration.started_at
        statistics = iteration.statistics
        if len(self.engine.queue_waits) > self._num_unsettled and self.front.num_waiting():
            self._backlog_s += duration_s
            self._backlog_batch += duration_s * statistics.num_scheduled
            self._backlog_kv += duration_s * statistics.used_blocks / statistics.max_blocks
            self._backlog_tokens += statistics.num_scheduled
        self._window_s += duration_s
        self._window_iterations += 1
        if self._window_s >= MEASURED_EVERY_S:
            self.front.measured(self._window_s / self._window_iterations)
            self._window_s = 0.0
            self._window_iterations = 0
        if iteration.emissions:
            self.time.at(iteration.ended_at, partial(self.front.tokens, iteration.emissions))
        self.time.at(iteration.ended_at, self._step, LAST)


def random_case(seed: int, blocks: int, slots: int, reserves_ahead: bool) -> tuple[Trace, EngineProfile]:
    rng = np.random.default_rng(seed)
    arrivals = np.cumsum(rng.exponential(0.4, 60)) * (rng.random(60) > 0.2)  # some at the same instant
    requests = tuple(
        TraceRequest(
            id=f"r{place}",
            prompt="",
            prompt_tokens=int(rng.integers(1, 60)),
            max_tokens=200,
            arrival_s=float(at),
            output_tokens=int(rng.integers(1, 200)),
            known=LengthDistribution.from_samples(rng.integers(1, 200, 5).tolist()),
        )
        for place, at in enumerate(np.sort(arrivals))
    )
    engine = EngineProfile(
        name="tiny",
        step_time=StepTime(0.01, 20e-6, 40e-9, 70e-6),
        max_batch_size=slots,
        max_num_tokens=512,
        kv_blocks=blocks,
        block_tokens=16,
        kv_policy=KvPolicy.GUARANTEED_NO_EVICT if reserves_ahead else KvPolicy.MAX_UTILIZATION,
    )
    return Trace(requests=requests, rho=1.0, seed=seed, span_s=requests[-1].arrival_s), engine


def run(kind: type[Replay], trace: Trace, engine: EngineProfile, policy: str, interval: int) -> ReplayRun:
    told = ReplaySettings(policy=PolicySettings(name=policy), stream_interval=interval)
    return kind(trace, engine, told, OtherAnswers(), lambda: None, None).run()


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    blocks=st.integers(20, 200),
    slots=st.integers(1, 40),
    reserves_ahead=st.booleans(),
    policy=st.sampled_from(["direct", "fcfs", "sagesched", "gittins-boost", "amin"]),
    interval=st.sampled_from([1, 16]),
)
def test_both_ways_give_the_same_run_to_the_bit(
    seed: int, blocks: int, slots: int, reserves_ahead: bool, policy: str, interval: int
) -> None:
    trace, engine = random_case(seed, blocks, slots, reserves_ahead)
    assert run(Replay, trace, engine, policy, interval) == run(PlannedReplay, trace, engine, policy, interval)


@pytest.mark.parametrize("policy", ["direct", "fcfs"])
def test_idle_stretches_are_no_iterations(policy: str) -> None:
    trace, engine = random_case(1, 200, 40, reserves_ahead=False)
    result = run(Replay, trace, engine, policy, 16)
    assert 0 < result.busy_s < result.ended_at

"""Replicas behind a balancer."""

from dataclasses import replace

import numpy as np
import pytest

from sagesched_emulator.profiles import EngineProfile
from sagesched_emulator.step_time import StepTime
from sagesched_emulator.trace import Trace, TraceRequest
from sagesched_gateway.scheduling.settings import PolicySettings
from sagesched_predictor import LengthDistribution
from sagesched_replay.fleet import Balanced, Balancer, replay_fleet
from sagesched_replay.knowledge import OtherAnswers
from sagesched_replay.replay import replay
from sagesched_replay.report import run_figures
from sagesched_replay.run import ReplayRun, ReplaySettings

ENGINE = EngineProfile(
    name="tiny",
    step_time=StepTime(0.01, 0.0, 0.0, 0.0),
    max_batch_size=2,
    max_num_tokens=512,
    kv_blocks=400,
    block_tokens=16,
)


def a_trace(outputs: list[int], gap_s: float = 0.0) -> Trace:
    requests = tuple(
        TraceRequest(
            id=f"r{place}",
            prompt="",
            prompt_tokens=8,
            max_tokens=1000,
            arrival_s=gap_s * place,
            output_tokens=output,
            known=LengthDistribution.point(output),
        )
        for place, output in enumerate(outputs)
    )
    return Trace(requests=requests, rho=1.0, seed=0, span_s=gap_s * len(outputs))


def random_trace(num: int = 300) -> Trace:
    rng = np.random.default_rng(5)
    trace = a_trace([int(n) for n in np.clip(rng.lognormal(4.0, 1.0, num), 1, 900)])
    arrivals = np.cumsum(rng.exponential(0.17, num))
    return replace(
        trace,
        requests=tuple(
            replace(one, arrival_s=float(at)) for one, at in zip(trace.requests, arrivals, strict=True)
        ),
    )


def run(trace: Trace, policy: str, replicas: int, balancer: Balancer) -> ReplayRun:
    settings = ReplaySettings(policy=PolicySettings(name=policy))
    return replay_fleet(trace, ENGINE, settings, OtherAnswers, replicas=replicas, balancer=balancer)


def mean_ttlt(result: ReplayRun) -> float:
    return float(np.mean([(one.last_at or np.nan) - one.request.arrival_s for one in result.served]))


def test_one_replica_is_the_plain_replay() -> None:
    settings = ReplaySettings(policy=PolicySettings(name="fcfs"))
    plain = replay(random_trace(), ENGINE, settings, OtherAnswers())
    assert run(random_trace(), "fcfs", 1, Balancer.LEAST_QUEUE) == plain


def test_round_robin_takes_turns() -> None:
    trace = a_trace([100, 1, 100, 1, 100, 1, 100, 1])
    result = run(trace, "fcfs", 2, Balancer.ROUND_ROBIN)
    ended = {one.request.id: one.last_at or 0.0 for one in result.served}
    assert max(ended[f"r{place}"] for place in (1, 3, 5, 7)) < 0.1  # all short ones met on one engine
    assert ended["r6"] > 1.9


class Standing:
    """A replica as a balancer sees it."""

    def __init__(self, present: int, backlog_s: float) -> None:
        self.front = self
        self.got: list[TraceRequest] = []
        self._present, self._backlog_s = present, backlog_s

    def arrive(self, request: TraceRequest) -> None:
        self.got.append(request)

    def num_present(self) -> int:
        return self._present + len(self.got)

    def backlog_s(self) -> float:
        return self._backlog_s


@pytest.mark.parametrize(
    ("balancer", "expected"),
    [
        (Balancer.ROUND_ROBIN, [2, 1, 1]),
        (Balancer.LEAST_QUEUE, [0, 4, 0]),
        (Balancer.LEAST_PREDICTED_BACKLOG, [4, 0, 0]),
    ],
)
def test_balancers_go_by_turns_by_numbers_or_by_work(balancer: Balancer, expected: list[int]) -> None:
    members = [Standing(40, 3.0), Standing(2, 50.0), Standing(9, 9.0)]
    balanced = Balanced(members, balancer)  # type: ignore[arg-type]
    for request in a_trace([1, 1, 1, 1]).requests:
        balanced.arrive(request)
    assert [len(member.got) for member in members] == expected


def test_equal_replicas_share() -> None:
    members = [Standing(0, 0.0) for _ in range(3)]
    balanced = Balanced(members, Balancer.LEAST_PREDICTED_BACKLOG)  # type: ignore[arg-type]
    for request in a_trace([1] * 9).requests:
        balanced.arrive(request)
    assert [len(member.got) for member in members] == [3, 3, 3]


@pytest.mark.parametrize("policy", ["fcfs", "gittins-boost"])
@pytest.mark.parametrize("balancer", list(Balancer))
def test_everybody_is_served_once_and_more_engines_help(policy: str, balancer: Balancer) -> None:
    trace = random_trace()
    two, four = (run(trace, policy, replicas, balancer) for replicas in (2, 4))
    for result, replicas in ((two, 2), (four, 4)):
        assert result.replicas == replicas
        assert [one.request for one in result.served] == list(trace.requests)
        assert all(one.last_at is not None and one.failure is None for one in result.served)
    assert mean_ttlt(four) < mean_ttlt(two)
    assert two.busy_s <= 2 * two.ended_at


def test_one_queue_before_all_loses_least() -> None:
    trace = random_trace()
    means = {balancer: mean_ttlt(run(trace, "fcfs", 4, balancer)) for balancer in Balancer}
    assert means[Balancer.GLOBAL] <= 1.02 * min(means.values())
    assert means[Balancer.LEAST_QUEUE] < means[Balancer.ROUND_ROBIN]


@pytest.mark.parametrize(
    ("policy", "balancer", "complaint"),
    [
        ("fcfs@engine", Balancer.LEAST_QUEUE, "only round-robin"),
        ("direct", Balancer.GLOBAL, "without a gateway"),
        ("direct", Balancer.LEAST_PREDICTED_BACKLOG, "without a gateway"),
    ],
)
def test_what_cannot_be_is_refused(policy: str, balancer: Balancer, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        run(random_trace(10), policy, 2, balancer)


def test_policies_inside_engines_go_by_turns() -> None:
    trace = random_trace(40)
    result = run(trace, "fcfs@engine", 3, Balancer.ROUND_ROBIN)
    assert [one.request for one in result.served] == list(trace.requests)
    assert all(one.last_at is not None for one in result.served)
    with pytest.raises(ValueError, match="at least 1 replica"):
        run(trace, "fcfs", 0, Balancer.ROUND_ROBIN)


def test_engines_that_get_nothing_are_idle_whoever_chooses() -> None:
    trace = a_trace([50, 50])
    inside, outside = (run(trace, name, 10, Balancer.ROUND_ROBIN) for name in ("fcfs@engine", "fcfs"))
    assert (inside.replicas, outside.replicas) == (10, 10)
    assert run_figures(inside).utilisation == pytest.approx(0.2)

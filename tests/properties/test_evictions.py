"""A_min against the engine model: whatever is cancelled comes back, once each time, and ends."""

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from sagesched_emulator.profiles import EngineProfile
from sagesched_emulator.step_time import StepTime
from sagesched_emulator.trace import Trace, TraceRequest
from sagesched_gateway.scheduling.capacity import KvPolicy
from sagesched_gateway.scheduling.settings import EvictFirst, PolicySettings
from sagesched_predictor import LengthDistribution
from sagesched_replay.knowledge import OtherAnswers
from sagesched_replay.replay import ReplaySettings, replay

MAX_TOKENS = 60

ENGINE = EngineProfile(
    name="tiny",
    step_time=StepTime(0.01, 0.0, 0.0, 1e-5),
    max_batch_size=16,
    max_num_tokens=200,
    kv_blocks=40,
    block_tokens=4,
)

requests = st.builds(
    dict,
    gap_s=st.sampled_from([0.0, 0.0, 0.02, 0.2]),
    prompt=st.integers(1, 40),
    output=st.integers(1, MAX_TOKENS),
    least=st.integers(1, MAX_TOKENS),
)
policies = st.builds(
    PolicySettings,
    name=st.just("amin"),
    evict_first=st.sampled_from(list(EvictFirst)),
    max_evictions=st.integers(0, 3),
)
gateways = st.builds(
    ReplaySettings,
    policy=policies,
    stream_interval=st.sampled_from([1, 16]),
    prediction_s=st.sampled_from([0.0, 0.01, 0.5]),
    kv_headroom_iterations=st.sampled_from([None, 0.0]),
)


def a_trace(drawn: list[dict]) -> Trace:
    arrived, arrival_s = [], 0.0
    for number, of in enumerate(drawn):
        arrival_s += of["gap_s"]
        arrived.append(
            TraceRequest(
                id=f"r{number}",
                prompt="",
                prompt_tokens=of["prompt"],
                max_tokens=MAX_TOKENS,
                arrival_s=arrival_s,
                output_tokens=of["output"],
                # Predictions may be wrong either way.
                known=LengthDistribution.from_samples([of["least"], MAX_TOKENS]),
            )
        )
    return Trace(requests=tuple(arrived), rho=1.0, seed=0, span_s=arrival_s)


@settings(max_examples=60, deadline=None)
@given(st.lists(requests, min_size=5, max_size=40).map(a_trace), gateways)
def test_the_evicted_come_back_and_end_and_no_cap_is_broken(trace, gateway):
    run = replay(trace, ENGINE, gateway, OtherAnswers())
    for served in run.served:
        assert served.failure is None
        assert (served.first_at or 0.0) <= (served.last_at or 0.0)
        assert served.last_at is not None
        assert served.evictions <= gateway.policy.max_evictions
        # A cancelled attempt never got further than the answer is long.
        assert served.discarded_tokens < max(served.evictions, 1) * served.request.output_tokens
    assert replay(trace, ENGINE, gateway, OtherAnswers()) == run


@settings(max_examples=20, deadline=None)
@given(st.lists(requests, min_size=5, max_size=40).map(a_trace), gateways)
def test_nobody_is_evicted_where_the_engine_reserves_ahead(trace, gateway):
    engine = replace(ENGINE, kv_policy=KvPolicy.GUARANTEED_NO_EVICT)
    run = replay(trace, engine, gateway, OtherAnswers())
    assert all(served.evictions == 0 and served.last_at is not None for served in run.served)
    assert run.evictions == 0


@settings(max_examples=30, deadline=None)
@given(st.lists(requests, min_size=5, max_size=40))
def test_amax_never_cancels_and_with_true_bounds_the_engine_never_pauses(drawn):
    """Feasible means feasible: with a bound that holds, nothing overflows at any time."""
    for of in drawn:
        of["least"] = of["output"]
    trace = a_trace(drawn)
    exact = tuple(replace(r, known=LengthDistribution.point(r.output_tokens)) for r in trace.requests)
    settings_ = ReplaySettings(
        policy=PolicySettings(name="amax"), stream_interval=1, prediction_s=0.0, hop_s=0.0
    )
    run = replay(replace(trace, requests=exact), ENGINE, settings_, OtherAnswers())
    assert all(served.evictions == 0 and served.last_at is not None for served in run.served)
    assert run.evictions == 0

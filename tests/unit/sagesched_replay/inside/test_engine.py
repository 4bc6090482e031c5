"""The loop: with nobody put aside it is the engine itself, and what putting aside costs is paid."""

import numpy as np
import pytest

from sagesched_emulator.dataset import Record
from sagesched_emulator.profiles import profile
from sagesched_emulator.trace import draw_trace
from sagesched_gateway.scheduling.settings import PolicySettings
from sagesched_replay.inside.engine import Spans
from sagesched_replay.inside.preemption import Preemption, Way
from sagesched_replay.inside.srpt import Srpt
from sagesched_replay.knowledge import Ignorance
from sagesched_replay.replay import ReplaySettings, replay


@pytest.mark.parametrize("engine", ["kv-bound", "slot-bound", "h100-8b"])
def test_first_come_first_served_is_the_engine_by_itself(engine):
    rng = np.random.default_rng(1)
    lengths = np.minimum(rng.lognormal(5.5, 1.0, 150).astype(int) + 1, 2000)
    records = [
        Record(prompt="p", prompt_tokens=int(tokens), output_tokens=int(length), max_tokens=2048)
        for tokens, length in zip(rng.integers(10, 400, 150), lengths, strict=True)
    ]
    trace = draw_trace(records, profile=profile(engine), rho=1.5, num_requests=150, seed=1)
    # As the engine itself: caches are dropped, and whoever fits with its next token starts.
    settings = ReplaySettings(
        policy=PolicySettings(name="fcfs@engine"),
        stream_interval=1,
        preemption=Preemption(way=Way.RECOMPUTE, headroom_iterations=1),
    )
    inside = replay(trace, profile(engine), settings, Ignorance())
    direct = replay(
        trace,
        profile(engine),
        ReplaySettings(policy=PolicySettings(name="direct"), stream_interval=1),
        Ignorance(),
    )
    assert inside.evictions == direct.evictions
    assert inside.busy_s == pytest.approx(direct.busy_s)
    for one, other in zip(inside.served, direct.served, strict=True):
        assert (one.first_at, one.last_at) == pytest.approx((other.first_at, other.last_at))


def test_a_shorter_newcomer_puts_the_running_one_aside(an_engine, a_request, serve):
    served = serve(Srpt, an_engine(), a_request("long", 10), a_request("short", 2, at=2.5))
    # One slot, a second per token: the short one joins after the third second and takes two.
    assert served["short"].last_at == 5.0
    assert served["long"].last_at == 12.0
    assert served["long"].first_at == 1.0


def test_nobody_is_put_aside_while_there_is_room(an_engine, a_request, serve):
    served = serve(Srpt, an_engine(slots=2), a_request("long", 10), a_request("short", 2, at=2.5))
    assert (served["long"].last_at, served["short"].last_at) == (10.0, 5.0)


@pytest.mark.parametrize(
    ("preemption", "extra_s"),
    [
        # The long one holds a prompt of 7 and 3 tokens when it is put aside: ten out, ten in.
        (Preemption(swap_s_per_token=0.1, headroom_iterations=0), 2.0),
        # Or ten are prefilled again, at half a second each.
        (Preemption(way=Way.RECOMPUTE, headroom_iterations=0), 5.0),
    ],
)
def test_the_cost_of_putting_aside_is_paid(an_engine, a_request, serve, preemption, extra_s):
    requests = a_request("long", 10, prompt=7), a_request("short", 2, at=6.0, prompt=1)
    served = serve(Srpt, an_engine(prefill_s=0.5), *requests, preemption=preemption)
    # Prefill 3.5 s and three tokens by 6.5 s, then the short one's half second and two tokens.
    assert served["long"].last_at == pytest.approx(3.5 + 0.5 + 12.0 + extra_s)


def test_what_can_never_run_is_refused(an_engine, a_request, serve):
    served = serve(
        Srpt, an_engine(kv_tokens=50), a_request("too big", 3, cap=100), a_request("fits", 3, cap=10)
    )
    assert served["too big"].failure is not None
    assert served["fits"].last_at == 3.0


def test_growth_beyond_the_pool_puts_the_last_in_order_aside(an_engine, a_request, serve):
    # Two of five tokens and a prompt of four each hold 9 at their ends; the pool has 14.
    requests = a_request("first", 5, prompt=4, cap=10), a_request("second", 5, prompt=4, cap=10)
    served = serve(Srpt, an_engine(slots=2, kv_tokens=14), *requests)
    # Three iterations fit (2·4 + 2·3 = 14); then the second waits until the first has ended.
    assert served["first"].last_at == 5.0
    assert served["second"].last_at == 7.0


def test_many_iterations_at_once_take_as_long_as_one_by_one():
    spans = Spans(fixed_s=0.01, per_cached_s=1e-5, cached=300, batch=7)
    one_by_one = sum(0.01 + 1e-5 * (300 + 7 * index) for index in range(40))
    assert spans.seconds(40) == pytest.approx(one_by_one)
    for seconds in (0.0, 0.013, 0.02, 0.4, 0.5):
        iterations = spans.iterations_until(seconds)
        assert spans.seconds(iterations) >= seconds
        assert iterations == 1 or spans.seconds(iterations - 1) < seconds


def test_costs_below_nothing_are_refused():
    with pytest.raises(ValueError, match="at least 0"):
        Preemption(swap_s_per_token=-1.0)

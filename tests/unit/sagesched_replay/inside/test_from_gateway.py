"""A gateway's policy inside: what remains after g tokens is a request with prompt I + g and output O − g."""

from functools import partial

import numpy as np
import pytest

from sagesched_gateway.scheduling.cost import kv_token_steps
from sagesched_gateway.scheduling.gittins import gittins_index
from sagesched_gateway.scheduling.policies.sagesched import SageSched
from sagesched_predictor import LengthDistribution
from sagesched_replay.inside.from_gateway import FromGateway
from sagesched_replay.inside.jobs import Jobs
from sagesched_replay.inside.remaining import remaining
from sagesched_replay.rivals.hrrn import Hrrn


def make(jobs, profile, **knobs):
    return FromGateway(jobs, profile, SageSched(), **knobs)


def test_the_refreshed_key_is_the_index_after_what_was_consumed(an_engine, a_request):
    request = a_request("a", 900, prompt=30, known=(100, 300, 800))
    jobs = Jobs([request])
    policy = make(jobs, an_engine())
    policy.arrived(0, request.known)
    jobs.present[0] = True
    jobs.generated[0] = 200
    policy.prepare(now=1.0)
    costs, weights = kv_token_steps(30.0, request.known.tokens), np.full(3, 1 / 3)
    consumed = 200 * 200 / 2 + 30 * 200
    assert jobs.key[0] == pytest.approx(gittins_index(costs, weights, consumed))


def test_keys_move_at_each_two_hundredth_token_only(an_engine, a_request):
    request = a_request("a", 900, known=(100, 300, 800))
    jobs = Jobs([request])
    policy = make(jobs, an_engine())
    policy.arrived(0, request.known)
    jobs.present[0] = True
    policy.prepare(now=1.0)
    before = jobs.key[0]
    jobs.generated[0] = 199
    policy.prepare(now=2.0)
    assert jobs.key[0] == before
    assert policy.patience(np.array([0]), 1.0) == 1


def test_one_that_turns_out_long_is_put_aside_at_its_refresh(an_engine, a_request, serve):
    # Half of "gamble" are over at 100; at 200 it is known to be one of 900, so the one of 300 goes first.
    requests = a_request("gamble", 900, known=(100, 900)), a_request("sure", 300, at=0.5)
    served = serve(make, an_engine(), *requests)
    assert served["gamble"].first_at == 1.0
    assert served["sure"].last_at == 500.0
    assert served["gamble"].last_at == 1200.0
    never = serve(partial(make, refresh_tokens=None), an_engine(), *requests)
    assert never["gamble"].last_at == 900.0


def test_beyond_the_last_atom_as_much_again_is_expected():
    lengths = LengthDistribution.from_samples([10, 20])
    assert remaining(lengths, 5, 100).to_pairs() == [(5.0, 0.5), (15.0, 0.5)]
    assert remaining(lengths, 10, 100).to_pairs() == [(10.0, 1.0)]
    assert remaining(lengths, 40, 100).to_pairs() == [(40.0, 1.0)]
    assert remaining(lengths, 70, 100).to_pairs() == [(30.0, 1.0)]
    assert remaining(lengths, 100, 100).to_pairs() == [(1.0, 1.0)]


def test_a_policy_that_ages_by_waiting_is_refused(an_engine, a_request, serve):
    with pytest.raises(ValueError, match="not for inside an engine"):
        serve(lambda jobs, profile: FromGateway(jobs, profile, Hrrn()), an_engine(), a_request("a", 3))


def test_without_preemption_what_runs_runs_to_its_end(an_engine, a_request, serve):
    requests = a_request("gamble", 900, known=(100, 900)), a_request("sure", 300, at=0.5)
    served = serve(partial(make, preempts=False), an_engine(), *requests)
    assert (served["gamble"].last_at, served["sure"].last_at) == (900.0, 1200.0)

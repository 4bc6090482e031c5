"""`mlfq`, `ltr` and `trail`: order of service worked by hand, one slot, a second per token."""

import math
from functools import partial

from sagesched_replay.inside.ltr import IDLE_STEPS, PROMOTED_STEPS, Ltr
from sagesched_replay.inside.mlfq import Mlfq
from sagesched_replay.inside.trail import REFINED_ERROR, Trail

UNAGED = partial(Mlfq, starve_s=math.inf)


def test_mlfq_serves_the_least_served_first(an_engine, a_request, serve):
    # Quanta of 1, 2, 4, … s: "long" has gone down twice by 3 s, when "short" comes and enters at the top.
    served = serve(UNAGED, an_engine(), a_request("long", 6), a_request("short", 1, at=2.5))
    assert served["short"].last_at == 4.0
    assert served["long"].last_at == 7.0


def test_mlfq_equals_take_turns_by_arrival(an_engine, a_request, serve):
    served = serve(UNAGED, an_engine(), a_request("a", 3), a_request("b", 3))
    # a 1 s, b 1 s; then a 2 s and is done at 4, then b.
    assert (served["a"].first_at, served["b"].first_at) == (1.0, 2.0)
    assert (served["a"].last_at, served["b"].last_at) == (4.0, 6.0)


def test_mlfq_skips_the_levels_that_its_prefill_would_use_up(an_engine, a_request, serve):
    # A prompt of 8 takes 1 + 8·0.5 = 5 s: the first quantum that covers it is 8 s, so level 3.
    long = a_request("long prompt", 2, prompt=8)
    short = a_request("short", 3, prompt=0)
    served = serve(UNAGED, an_engine(prefill_s=0.5), long, short)
    assert served["short"].last_at == 3.0  # levels 0 and 1, before the other's level 3
    assert served["long prompt"].last_at == 9.0


def test_mlfq_promotes_the_starved(an_engine, a_request, serve):
    aged = partial(Mlfq, starve_s=3.0)
    requests = [a_request("long", 20), *(a_request(f"{at}", 1, at=float(at)) for at in range(1, 20))]
    last = {policy: serve(policy, an_engine(), *requests)["long"].last_at for policy in (UNAGED, aged)}
    assert last[UNAGED] == 39.0  # after all others
    assert last[aged] == 39.0
    first_half = {
        policy: serve(policy, an_engine(), *requests[:1], *requests[1:])["15"].last_at
        for policy in (UNAGED, aged)
    }
    assert first_half[UNAGED] == 16.0  # at once
    assert first_half[aged] > first_half[UNAGED]  # the long one had turns in between


def test_ltr_puts_aside_by_rank_however_far_the_running_one_is(an_engine, a_request, serve):
    served = serve(Ltr, an_engine(), a_request("nine of ten done", 10), a_request("nine", 9, at=8.5))
    assert served["nine"].last_at == 18.0
    assert served["nine of ten done"].last_at == 19.0


def test_ltr_fair_promotes_after_idle_steps_for_a_few(an_engine, a_request, serve):
    short = [a_request(f"{index}", 1, at=float(index)) for index in range(1, 600)]
    served = serve(partial(Ltr, fair=True), an_engine(), a_request("long", 15, at=0.0), *short)
    # Put aside at 1 s with one token; idle for 200 steps, ten served, and 200 more.
    assert served["long"].last_at == 1.0 + IDLE_STEPS + PROMOTED_STEPS + IDLE_STEPS + 4.0
    starved = serve(Ltr, an_engine(), a_request("long", 15, at=0.0), *short)
    assert starved["long"].last_at == 614.0


def test_trail_puts_the_young_aside_only(an_engine, a_request, serve):
    # Told 10: at most its first 8 tokens may be interrupted.
    young = serve(Trail, an_engine(), a_request("long", 10), a_request("short", 1, at=6.5))
    assert young["short"].last_at == 8.0
    old = serve(Trail, an_engine(), a_request("long", 10), a_request("short", 1, at=8.5))
    assert old["short"].last_at == 11.0
    release = partial(Trail, young_share=0.0)
    kept = serve(release, an_engine(), a_request("long", 10), a_request("short", 1, at=6.5))
    assert kept["short"].last_at == 11.0


def test_trail_refines_towards_the_truth(an_engine, a_request):
    from sagesched_replay.inside.jobs import Jobs

    request = a_request("a", 30, known=(20, 60))
    jobs = Jobs([request])
    policy = Trail(jobs, an_engine())
    policy.arrived(0, request.known)
    jobs.present[0] = True
    policy.prepare(0.0)
    assert jobs.key[0] == 40.0  # the prompt alone
    jobs.generated[0] = 24
    policy.prepare(1.0)
    assert jobs.key[0] == 6 + REFINED_ERROR * (36 - 6)  # given 24: 60 - 24; the truth is 6

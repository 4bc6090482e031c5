"""H-SF, A_max and A_min in the papers' model: rounds of one second, blocks of one token."""

from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sagesched_gateway.scheduling.settings import EvictFirst
from sagesched_replay.inside.by_bound import Bound, ByBound, fits_until_all_end

HSF = partial(ByBound, bound=Bound.TRUTH)
AMAX = partial(ByBound, bound=Bound.UPPER, quantile=1.0)
AMIN = partial(ByBound, bound=Bound.LOWER)


def test_hindsight_starts_the_longest_prefix_whose_growth_fits(an_engine, a_request, serve):
    # M = 7, prompts of 1. Ends 2 and 3: in round 2 they hold 3 + 3, in round 3 the second alone 4. A third of
    # 3 would make it 9 in round 2; started in round 3 it holds 2 beside 4, and in its last 4.
    served = serve(
        HSF,
        an_engine(slots=9, kv_tokens=7),
        a_request("two", 2, cap=6),
        a_request("three", 3, cap=6),
        a_request("late", 3, cap=6),
    )
    assert [served[name].last_at for name in ("two", "three", "late")] == [2.0, 3.0, 5.0]


def test_amax_waits_for_the_worst_that_could_come(an_engine, a_request, serve):
    requests = [a_request(name, 1, known=(1, 5), cap=5) for name in "ab"]
    # 6 each in the worst case, M = 11: one after the other. By the lower bound both start at once.
    assert [s.last_at for s in serve(AMAX, an_engine(slots=9, kv_tokens=11), *requests).values()] == [
        1.0,
        2.0,
    ]
    assert [s.last_at for s in serve(AMIN, an_engine(slots=9, kv_tokens=11), *requests).values()] == [
        1.0,
        1.0,
    ]


def test_amin_cancels_the_smallest_bound_and_raises_it(an_engine, a_request, serve):
    # Lower bounds 1 and 3, both really 4; prompts of 1, M = 7. Round 3 would need 4 + 4.
    requests = a_request("one", 4, known=(1, 9), cap=6), a_request("three", 4, known=(3, 9), cap=6)
    served = serve(AMIN, an_engine(slots=9, kv_tokens=7), *requests)
    # In the order of cancelling "one" counts with the 2 that it has, "three" with its bound of 3.
    assert served["one"].evictions == 1
    assert served["one"].discarded_tokens == 2
    assert served["three"].last_at == 4.0
    # Its bound is 3 now: beside 5 in round 4 it does not fit in its own second round, so it starts in round 4
    # at the earliest where 2 + 5 fit, and needs four rounds.
    assert served["one"].last_at == 7.0
    largest = serve(
        partial(ByBound, bound=Bound.LOWER, evict_first=EvictFirst.LARGEST),
        an_engine(slots=9, kv_tokens=7),
        *requests,
    )
    assert largest["three"].evictions == 1


def by_definition(tokens: list[int], remaining: list[int], pool: int) -> bool:
    return all(
        sum(t + end - 1 for t, left in zip(tokens, remaining, strict=True) if left >= end) <= pool
        for end in range(1, max(remaining) + 1)
    )


@given(
    st.lists(st.tuples(st.integers(1, 20), st.integers(1, 12)), min_size=1, max_size=8), st.integers(1, 120)
)
def test_feasibility_is_that_of_every_round(jobs, pool):
    tokens, remaining = [job[0] for job in jobs], [job[1] for job in jobs]
    fits = fits_until_all_end(np.array(tokens), np.array(remaining), pool)
    assert fits == by_definition(tokens, remaining, pool)


@pytest.mark.parametrize("policy", [HSF, AMAX])
def test_nothing_is_cancelled_where_bounds_hold(an_engine, a_request, serve, policy):
    rng = np.random.default_rng(0)
    requests = [
        a_request(str(index), int(length), prompt=5, known=(1, 30), cap=30)
        for index, length in enumerate(rng.integers(1, 31, 60))
    ]
    served = serve(policy, an_engine(slots=99, kv_tokens=200), *requests)
    assert all(one.evictions == 0 and one.discarded_tokens == 0 for one in served.values())

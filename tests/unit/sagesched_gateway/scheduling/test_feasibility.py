"""The check at every predicted completion, worked by hand with blocks of one token (the papers' case)."""

import numpy as np
import pytest

from sagesched_gateway.scheduling.capacity import KvPolicy
from sagesched_gateway.scheduling.commands import Start
from sagesched_gateway.scheduling.feasibility import Growth, is_feasible
from sagesched_predictor.distribution import LengthDistribution


def test_alone_a_job_needs_prompt_and_all_its_output():
    growing = [Growth(tokens=3, remaining=4)]  # prompt 2, four tokens: holds 3, 4, 5, 6
    assert is_feasible(growing, 6, 1)
    assert not is_feasible(growing, 5, 1)


def test_what_ends_early_makes_room_for_what_grows_late():
    # The first holds 5, 6 and is gone; the second 3, 4, 5, 6, 7: most is 10 at their second iteration.
    growing = [Growth(tokens=5, remaining=2), Growth(tokens=3, remaining=5)]
    assert is_feasible(growing, 10, 1)
    assert not is_feasible(growing, 9, 1)


def test_the_peak_may_be_at_any_completion():
    # Ends at 1, 2, 3 with sums 4+4+4 = 12, 5+5 = 10, 6.
    growing = [Growth(4, 1), Growth(4, 2), Growth(4, 3)]
    assert is_feasible(growing, 12, 1)
    assert not is_feasible(growing, 11, 1)


def test_blocks_are_whole_for_each_job():
    growing = [Growth(tokens=5, remaining=1), Growth(tokens=5, remaining=1)]
    assert is_feasible(growing, 4, 4)  # two blocks each
    assert not is_feasible(growing, 3, 4)


def test_it_agrees_with_counting_every_iteration():
    draw = np.random.default_rng(0)
    for _ in range(300):
        growing = [Growth(int(t), int(r)) for t, r in draw.integers(1, 20, (draw.integers(1, 8), 2))]
        block = int(draw.integers(1, 5))
        peak = max(
            sum(-(-(g.tokens + d - 1) // block) for g in growing if g.remaining >= d) for d in range(1, 21)
        )
        assert is_feasible(growing, peak, block)
        assert not is_feasible(growing, peak - 1, block)


def between(low: int, high: int) -> LengthDistribution:
    """Half the answers have one length, half the other."""
    return LengthDistribution.from_samples([low, high])


LIMITS = {
    "slots": 8,
    "kv_blocks": 20,
    "block_tokens": 1,
    "kv_policy": KvPolicy.MAX_UTILIZATION,
    "kv_headroom_iterations": 0.0,
}


class TestAdmission:
    """Twenty blocks of one token; headroom off, so that only growth decides."""

    def test_amax_counts_on_the_upper_bound(self, a_core):
        core = a_core("amax", **LIMITS | {"kv_blocks": 21})
        assert core.submit("one", prompt=2, max_tokens=12, output=between(2, 8)) == [Start("one")]
        # At their eighth iteration two such would hold 10 + 10, and who runs may be one further than known.
        assert core.submit("two", prompt=2, max_tokens=12, output=between(2, 8)) == [Start("two")]
        assert core.submit("three", prompt=2, max_tokens=12, output=between(2, 8)) == []

    def test_amin_counts_on_the_lower(self, a_core):
        core = a_core("amin", **LIMITS)
        for job_id in ("one", "two", "three", "four"):  # 4 tokens each after two iterations, 5 if one further
            core.submit(job_id, prompt=2, max_tokens=12, output=between(2, 8))
        assert core.started == ["one", "two", "three", "four"]
        core.submit("five", prompt=2, max_tokens=12, output=between(2, 8))
        assert core.started[4:] == []

    def test_the_longest_prefix_of_the_order_starts(self, a_core):
        core = a_core("amax", **LIMITS)
        core.submit("running", prompt=2, max_tokens=18, output=10)
        core.submit("long", prompt=2, max_tokens=18, output=12)
        core.submit("longer", prompt=1, max_tokens=18, output=13)
        assert core.submit("short", prompt=2, max_tokens=18, output=3) == [Start("short")]
        # `long` is first now and does not fit; nobody behind it passes.
        core.submit("tiny but longest", prompt=1, max_tokens=14, output=14)
        assert core.started == ["running", "short"]

    def test_where_the_engine_reserves_ahead_they_count_as_it_does_and_say_so(self, a_core):
        limits = {**LIMITS, "kv_policy": KvPolicy.GUARANTEED_NO_EVICT}
        for policy in ("amax", "amin"):
            core = a_core(policy, **limits)
            core.submit("one", prompt=2, max_tokens=12, output=2)
            core.submit("two", prompt=2, max_tokens=12, output=2)
            assert core.started == ["one"]
            assert "reserves KV for max_tokens ahead" in core.scheduler.snapshot().policy_note
        assert a_core("fcfs", **limits).scheduler.snapshot().policy_note is None

    def test_without_a_known_pool_they_only_order(self, a_core):
        core = a_core("amin", **{**LIMITS, "kv_blocks": None})
        assert "does not tell its KV pool" in core.scheduler.snapshot().policy_note


@pytest.mark.parametrize("policy", ["amax", "amin"])
def test_growth_makes_room_in_time(a_core, policy):
    core = a_core(policy, **LIMITS)
    core.submit("one", prompt=4, max_tokens=14, output=14)
    core.submit("two", prompt=4, max_tokens=14, output=14)
    assert core.started == ["one"]
    core.first_token("one")
    core.now = 0.2
    assert Start("two") in core.finish("one")

"""Which distribution a job is costed by, and when costs are worth computing again."""

from dataclasses import replace

import pytest

from sagesched_gateway.scheduling.capacity import EngineCapacity
from sagesched_gateway.scheduling.costing import MAX_REMEMBERED, Costing, assumed_lengths, rounded
from sagesched_gateway.scheduling.job import Job
from sagesched_gateway.scheduling.policies.ssjf import Ssjf
from sagesched_gateway.scheduling.reservation import Need
from sagesched_predictor.distribution import LengthDistribution

ENGINE = EngineCapacity(slots=10, iteration_s=0.01, prefill_s_per_token=0.0)


def a_job(output: LengthDistribution | None = None, prompt_tokens: int = 10, max_tokens: int = 6400) -> Job:
    return Job("a", 0.0, Need(prompt_tokens, max_tokens), output)


def a_costing() -> Costing:
    return Costing(Ssjf(), ENGINE)


def test_a_prediction_is_what_counts():
    costed = a_costing().cost(a_job(LengthDistribution.from_samples([100, 300])))
    assert costed.row.tolist() == [200.0]
    assert costed.mean_steps == pytest.approx(20.0)


def test_a_prediction_is_cut_at_max_tokens():
    costed = a_costing().cost(a_job(LengthDistribution.from_samples([100, 300]), max_tokens=200))
    assert costed.row.tolist() == [150.0]


def test_without_one_the_pool_speaks():
    costing = a_costing()
    costing.assume(LengthDistribution.point(500))
    assert costing.cost(a_job()).row.tolist() == [500.0]
    assert costing.cost(a_job(max_tokens=50)).row.tolist() == [50.0]


def test_without_a_pool_max_tokens_speaks():
    # A seventh each of 6400 / 64, / 32, … / 1.
    assert assumed_lengths(6400).tokens.tolist() == [100, 200, 400, 800, 1600, 3200, 6400]
    assert a_costing().cost(a_job()).row == pytest.approx([12_700 / 7])


def test_a_tiny_cap_is_still_a_distribution():
    assert assumed_lengths(1) == LengthDistribution.point(1)


def test_what_is_remembered_gives_way_to_a_new_pool_policy_or_engine():
    costing, job = a_costing(), a_job()
    costing.assume(LengthDistribution.point(500))
    assert costing.cost(job).mean_steps == pytest.approx(50.0)
    assert costing.follow(replace(ENGINE, slots=20))
    assert costing.cost(job).mean_steps == pytest.approx(25.0)
    costing.assume(LengthDistribution.point(100))
    assert costing.cost(job).row.tolist() == [100.0]

    class Longest(Ssjf):
        def row(self, facts):
            return -super().row(facts)

    costing.use(Longest())
    assert costing.cost(job).row.tolist() == [-100.0]


def test_a_small_change_of_the_engine_moves_no_cost():
    costing = a_costing()
    assert not costing.follow(replace(ENGINE, slots=9, iteration_s=0.011))
    assert costing.shape.slots == 10


def test_memory_is_bounded():
    costing = a_costing()
    for cap in range(1, MAX_REMEMBERED + 10):
        costing.cost(a_job(max_tokens=cap))
    assert len(costing._remembered) <= MAX_REMEMBERED


@pytest.mark.parametrize(
    ("tokens", "expected"), [(1, 1), (31, 31), (32, 32), (33, 34), (1000, 992), (1010, 1024)]
)
def test_prompts_without_prediction_are_rounded(tokens, expected):
    assert rounded(tokens) == expected


def test_rounding_moves_no_length_by_more_than_a_thirty_second():
    assert all(abs(rounded(tokens) - tokens) <= tokens / 32 for tokens in range(1, 5000))

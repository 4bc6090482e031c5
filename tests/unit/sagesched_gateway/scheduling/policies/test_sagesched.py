"""The Gittins index of C(I, O), worked by hand."""

import numpy as np
import pytest

from sagesched_gateway.scheduling.policies.base import JobFacts
from sagesched_gateway.scheduling.policies.sagesched import SageSched
from sagesched_predictor.distribution import LengthDistribution


def facts(prompt_tokens: int, *outputs: float) -> JobFacts:
    lengths = LengthDistribution.from_samples(outputs)
    return JobFacts(0.0, prompt_tokens, 10_000, lengths.tokens, lengths.weights, np.ones_like(lengths.tokens))


def test_the_index_of_a_known_length_is_its_cost():
    assert SageSched().row(facts(10, 4)) == pytest.approx([48.0])


def test_the_index_of_a_gamble_is_that_of_its_short_end():
    # C(10, 4) = 48 and C(10, 1000) = 510,000: stop after 48, (24 + 24) / (1/2).
    assert SageSched().row(facts(10, 4, 1000)) == pytest.approx([96.0])


def test_a_long_prompt_weighs_on_a_short_answer(a_core):
    core = a_core("sagesched")
    core.submit("running")
    core.submit("long prompt", prompt=1000, output=20)  # 20,200
    core.submit("long answer", prompt=10, output=100)  # 6,000
    assert core.drain() == ["running", "long answer", "long prompt"]


def test_a_likely_short_answer_goes_before_a_sure_medium_one(a_core):
    core = a_core("sagesched")
    core.submit("running")
    core.submit("sure", output=50)
    core.submit("gamble", output=LengthDistribution.from_samples([5, 100]))
    assert core.drain() == ["running", "gamble", "sure"]

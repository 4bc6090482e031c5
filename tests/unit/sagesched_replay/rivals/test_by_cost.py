"""`mean-cost`, `mean-service`, `mean-length`, `svf` and `wspt`: keys of one request worked by hand.

Prompt 10, output 10 or 30 with even chances: C = 10²/2 + 10·10 = 150 or 30²/2 + 10·30 = 750.
"""

import numpy as np
import pytest

from sagesched_gateway.scheduling.cost import CostShape
from sagesched_gateway.scheduling.policies.base import JobFacts
from sagesched_replay.rivals.mean_cost import MeanCost
from sagesched_replay.rivals.mean_length import MeanLength, Sjf
from sagesched_replay.rivals.mean_service import MeanService
from sagesched_replay.rivals.svf import Svf
from sagesched_replay.rivals.wspt import Wspt


@pytest.mark.parametrize(
    ("policy", "key"),
    [
        (MeanCost(), (150 + 750) / 2),
        (MeanLength(), 20.0),
        (Sjf(), 20.0),
        (Svf(), 10 * 20 + (20 * 20 + 20) / 2),
        (Wspt(), 10.0),
    ],
)
def test_the_key_of_one_request(a_facts, policy, key):
    assert policy.row(a_facts([10, 30])) == pytest.approx([key])


def test_the_mean_of_costs_is_not_the_cost_of_the_mean(a_facts):
    certain, split = a_facts([100]), a_facts([1, 199])
    assert MeanLength().row(certain) == MeanLength().row(split)
    assert Svf().row(certain) == Svf().row(split)
    assert MeanCost().row(certain) < MeanCost().row(split)  # half of them hold memory for long


def test_service_counts_the_prefill_that_cost_leaves_out(a_facts):
    shape = CostShape(slots=256, kv_tokens=24_000, reserves_ahead=False, prefill_steps_per_token=0.007)

    def facts(prompt: int, output: float) -> JobFacts:
        return a_facts([output], prompt=prompt)._replace(
            steps=shape.service_steps(prompt, 4096, np.array([output]))
        )

    long_prompt, long_answer = facts(1000, 100.0), facts(100, 400.0)
    assert MeanCost().row(long_prompt) < MeanCost().row(long_answer)
    assert MeanService().row(long_prompt) > MeanService().row(long_answer)

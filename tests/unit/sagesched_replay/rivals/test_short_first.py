"""`short-first`: the class nearest to the 0.85 quantile; by arrival within a class."""

import pytest

from sagesched_gateway.scheduling.policies.base import Moment
from sagesched_replay.rivals.short_first import ShortFirst


@pytest.mark.parametrize(
    ("tokens", "label"),
    # 316 lies halfway between 100 and 1,000 on a logarithmic scale, 2,024 between 1,000 and 4,096.
    [([20], 0), ([315], 0), ([317], 1), ([2000], 1), ([2050], 2), ([10, 20, 30, 40, 50, 60, 3000], 0)],
)
def test_the_class_is_the_nearest(a_facts, tokens, label):
    assert ShortFirst().row(a_facts(tokens)) == [label]


def test_one_in_seven_long_is_overlooked_one_in_five_is_not(a_facts):
    assert ShortFirst().row(a_facts([50, 3000], [0.86, 0.14])) == [0]
    assert ShortFirst().row(a_facts([50, 3000], [0.8, 0.2])) == [2]


def test_classes_never_mix(a_facts):
    policy = ShortFirst()
    view = policy.view(Moment(0.0, 0.01, 0.0, 1.0))
    late_short = view.key(100_000.0, policy.row(a_facts([50])))
    early_long = view.key(0.0, policy.row(a_facts([4000])))
    assert late_short < early_long

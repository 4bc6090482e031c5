"""Arrival minus a head start that follows the backlog."""

import numpy as np
import pytest

from sagesched_gateway.scheduling.boost import known_size_boost
from sagesched_gateway.scheduling.policies.base import Moment
from sagesched_gateway.scheduling.policies.gittins_boost import GittinsBoost
from sagesched_gateway.scheduling.tail_rate import GAMMA_GRID


def moment(backlog_steps: float = 64.0, iteration_s: float = 0.01) -> Moment:
    return Moment(0.0, iteration_s, 0.0, backlog_steps)


def test_the_row_is_the_boost_at_each_gamma(a_core):
    core = a_core("gittins-boost", prefill_s_per_token=0.0)
    core.submit("running")
    core.submit("a", output=8)
    row = core.scheduler.books.costing.cost(core.scheduler.books.jobs["a"]).row
    assert row == pytest.approx([known_size_boost(8.0, gamma) for gamma in GAMMA_GRID])


def test_the_view_turns_steps_into_seconds():
    view = GittinsBoost().view(moment(backlog_steps=64.0, iteration_s=0.01))
    assert GAMMA_GRID[view.column] == pytest.approx(1 / 64)
    assert (view.arrival_weight, view.scale) == (1.0, -0.01)


def test_a_trembling_step_time_moves_no_key():
    policy = GittinsBoost()
    settled = policy.view(moment(iteration_s=0.01))
    assert policy.view(moment(iteration_s=0.0109)) == settled
    assert policy.view(moment(iteration_s=0.0112)).scale == -0.0112


def test_short_goes_first_within_its_head_start_only(a_core):
    core = a_core("gittins-boost", prefill_s_per_token=0.0, iteration_s=1.0)
    core.submit("running")
    core.submit("long", output=64)
    # 72 steps wait, so γ = 1/64: a boost of 29 s for 64 steps and of 179 s for 4, a difference of 150 s.
    core.now = 100.0
    core.submit("short, within", output=4)
    core.now = 200.0
    core.submit("short, beyond", output=4)
    assert core.drain() == ["running", "short, within", "long", "short, beyond"]


@pytest.mark.parametrize(("weight", "first"), [(0.01, "short"), (1000.0, "long")])
def test_the_knob_goes_from_gittins_to_first_come_first_served(a_core, weight, first):
    core = a_core("gittins-boost", knobs={"tail_weight": weight}, prefill_s_per_token=0.0)
    core.submit("running")
    core.submit("long", output=64)
    core.now = 0.5
    core.submit("short", output=4)
    core.finish("running")
    assert core.started[-1] == first


def test_every_gamma_of_the_grid_has_a_column():
    assert GittinsBoost.num_columns == GAMMA_GRID.size
    assert np.all(np.diff(GAMMA_GRID) > 0)

import pytest

from sagesched_gateway.scheduling.capacity import EngineCapacity
from sagesched_gateway.scheduling.policies.fcfs import Fcfs
from sagesched_gateway.scheduling.policies.registry import POLICIES, make_policy
from sagesched_gateway.scheduling.scheduler import Scheduler
from sagesched_gateway.scheduling.settings import PolicySettings


@pytest.mark.parametrize("name", POLICIES)
def test_each_name_gives_the_policy_of_that_name(name):
    assert make_policy(PolicySettings(name=name)).name == name


def test_the_default_is_known():
    assert PolicySettings().name in POLICIES


def test_an_unknown_name_is_answered_with_the_known_ones():
    with pytest.raises(
        ValueError, match="unknown policy 'lifo', one of fcfs, ssjf, sagesched, gittins-boost"
    ):
        make_policy(PolicySettings(name="lifo"))


def test_a_knob_out_of_range_is_refused():
    with pytest.raises(ValueError, match="tail weight"):
        make_policy(PolicySettings(name="gittins-boost", tail_weight=0.0))


def test_replay_may_bring_policies_of_its_own():
    mine = {"mine": lambda settings: Fcfs()}
    scheduler = Scheduler(PolicySettings(name="mine"), EngineCapacity(slots=1), mine)
    assert isinstance(scheduler.policy, Fcfs)

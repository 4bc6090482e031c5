"""Deadlines: refused at the door, given up while waiting."""

import numpy as np
import pytest

from sagesched_gateway.scheduling import events
from sagesched_gateway.scheduling.commands import Reject, Start, WakeAt
from sagesched_gateway.scheduling.deadlines import GIVEN_UP, TOO_LATE, give_up_at
from sagesched_gateway.scheduling.settings import DeadlineSettings, PressureSettings
from sagesched_predictor.distribution import LengthDistribution


def judging(a_core, refuse_below: float = 0.9, drop_below: float = 0.05):
    core = a_core("fcfs", slots=1)
    deadlines = DeadlineSettings(refuse_below=refuse_below, drop_below=drop_below)
    core.handle(events.PressureChanged(settings=PressureSettings(deadlines=deadlines)))
    return core


def submit(core, job_id: str, output: float, within_s: float | None, awaits: bool = False):
    return core.handle(
        events.Submitted(
            job_id=job_id,
            arrival_at=core.now,
            prompt_tokens=10,
            max_tokens=1000,
            distribution=None if awaits else LengthDistribution.point(output),
            awaits_prediction=awaits,
            deadline_at=None if within_s is None else core.now + within_s,
        )
    )


def test_who_can_start_at_once_needs_time_for_its_service_only(a_core):
    core = judging(a_core)
    [reject] = submit(core, "hopeless", 200, within_s=1.5)  # two seconds at 10 ms a token
    assert isinstance(reject, Reject)
    assert (reject.reason, reject.probability) == (TOO_LATE, 0.0)
    assert submit(core, "easy", 100, within_s=1.5) == [Start("easy")]


def test_the_wait_counts_and_the_error_tells_the_probability(a_core):
    core = judging(a_core)
    submit(core, "running", 100, None)
    for number in range(5):
        submit(core, f"ahead-{number}", 100, None)
    [reject] = submit(core, "late", 100, within_s=5.0)
    assert isinstance(reject, Reject)
    assert reject.reason == TOO_LATE
    assert reject.probability is not None
    assert 0.0 <= reject.probability < 0.5
    assert f"probability {reject.probability:.2f}" in reject.detail
    assert not any(isinstance(command, Reject) for command in submit(core, "patient", 100, within_s=60.0))


def test_it_is_judged_when_its_prediction_is_there(a_core):
    core = judging(a_core)
    submit(core, "running", 100, None)
    assert not any(isinstance(c, Reject) for c in submit(core, "unknown", 0, within_s=2.0, awaits=True))
    [reject] = [c for c in core.predict("unknown", 500) if isinstance(c, Reject)]
    assert reject.reason == TOO_LATE
    submit(core, "never predicted", 0, within_s=0.5, awaits=True)
    [reject] = core.handle(events.Predicted(job_id="never predicted", distribution=None))
    assert isinstance(reject, Reject)


def test_by_default_nobody_is_refused_by_probability_only_given_up_when_it_is_nearly_none(a_core):
    core = a_core("fcfs", slots=1)
    submit(core, "running", 100, None)
    assert not any(isinstance(command, Reject) for command in submit(core, "late", 90, within_s=1.0))
    [reject] = submit(core, "hopeless", 500, within_s=1.0)
    assert isinstance(reject, Reject)
    assert reject.reason == GIVEN_UP


def test_nobody_is_given_up_where_that_is_off(a_core):
    core = judging(a_core, refuse_below=0.0, drop_below=0.0)
    submit(core, "running", 100, None)
    assert not any(isinstance(command, Reject) for command in submit(core, "hopeless", 500, within_s=1.0))


def test_what_cannot_make_it_any_more_is_given_up_on_waking(a_core):
    core = judging(a_core, refuse_below=0.0)
    submit(core, "running", 500, None)
    [wake] = submit(core, "waiting", 100, within_s=3.0)
    assert isinstance(wake, WakeAt)
    assert wake.at == pytest.approx(2.0, abs=0.01)  # one second of service before the deadline
    core.now = wake.at + 1e-6
    [reject] = [command for command in core.woken() if isinstance(command, Reject)]
    assert (reject.job_id, reject.reason) == ("waiting", GIVEN_UP)


def test_one_that_has_started_is_left_to_run(a_core):
    core = judging(a_core, refuse_below=0.0)
    submit(core, "running", 100, None)
    [wake] = submit(core, "waiting", 100, within_s=3.0)
    core.now = 1.0
    assert Start("waiting") in core.finish("running")
    core.now = wake.at + 1e-6
    assert not any(isinstance(command, Reject) for command in core.woken())


def test_the_instant_to_give_up_is_a_quantile_of_the_service():
    services, weights = np.array([1.0, 2.0, 8.0]), np.array([0.1, 0.4, 0.5])
    assert give_up_at(10.0, services, weights, 0.05) == 9.0
    assert give_up_at(10.0, services, weights, 0.2) == 8.0
    assert give_up_at(10.0, services, weights, 1.0) == 2.0
    assert give_up_at(10.0, services, weights, 0.0) == 10.0


def test_a_probability_is_one():
    with pytest.raises(ValueError, match="probability"):
        DeadlineSettings(refuse_below=1.5)

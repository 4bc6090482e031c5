"""Iterations told by reports: of many jobs, of paused ones, of those that only report their end."""

import pytest

from sagesched_gateway.scheduling.iteration_clock import IterationClock, Ticking

IT = 0.01


def run(clock, jobs, iterations, *, start=0, duration_s=IT, every=16):
    """Let jobs run in lockstep from one instant; each reports its first token and each `every`-th."""
    now = start
    for _ in range(iterations):
        now += duration_s
        for job in jobs:
            job.made += 1
            if job.made == 1 or (job.made + job.phase) % every == 0:
                clock.report(job.ticking, job.made, now)
    return now


class AJob:
    def __init__(self, phase=0, made=0):
        self.ticking, self.phase, self.made = Ticking(), phase, made


def test_between_reports_it_goes_on_at_the_engines_speed():
    clock = IterationClock(IT)
    assert clock.at(0.05) - clock.at(0.0) == pytest.approx(5)


@pytest.mark.parametrize("true_s", [0.6 * IT, IT, 3 * IT])
def test_many_jobs_tell_the_time_though_the_speed_is_known_badly(true_s):
    clock = IterationClock(IT)
    jobs = [AJob(phase) for phase in range(16)]
    warm = run(clock, jobs, 64, duration_s=true_s)
    before = clock.at(warm)
    now = run(clock, jobs, 300, start=warm, duration_s=true_s)
    assert clock.at(now) - before == pytest.approx(300, rel=0.01)


def test_a_long_prefill_is_one_iteration():
    clock = IterationClock(IT)
    jobs = [AJob(phase) for phase in range(16)]
    warm = run(clock, jobs, 64)
    before = clock.at(warm)
    # Forty iterations' worth of time without a report: with these jobs one is due in each iteration.
    assert clock.at(warm + 40 * IT) - before <= 5
    now = run(clock, jobs, 1, start=warm, duration_s=40 * IT)
    assert clock.at(now) - before == pytest.approx(1, abs=0.5)


def test_a_paused_job_does_not_hold_the_clock_back():
    clock = IterationClock(IT)
    jobs = [AJob(phase) for phase in range(8)]
    paused = AJob(3)
    warm = run(clock, [*jobs, paused], 64)
    mid = run(clock, jobs, 50, start=warm)
    before = clock.at(mid)
    now = run(clock, [*jobs, paused], 64, start=mid)
    assert clock.at(now) - before == pytest.approx(64, abs=1)


def test_answers_in_one_piece_tell_it_at_their_end():
    clock = IterationClock(IT)
    job = Ticking()
    clock.assume_first(job, clock.at(0.0))
    # The engine is twice as fast as believed.
    clock.report(job, 400, 200 * IT)
    assert clock.at(200 * IT) == pytest.approx(400, abs=2)


def test_a_report_at_the_same_instant_is_of_the_same_iteration():
    clock = IterationClock(IT)
    first, second = Ticking(), Ticking()
    clock.report(first, 1, IT)
    clock.report(second, 1, IT)
    assert clock.at(IT) == 1

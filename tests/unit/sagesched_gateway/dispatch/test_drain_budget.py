"""How long a drain may take: all of the configured time, or what is in flight needs by quantile."""

from __future__ import annotations

import pytest
from dispatch_fakes import a_message, ticks
from hypothesis import given
from hypothesis import strategies as st

from sagesched_gateway.dispatch.drain_budget import LEAST_S, DrainBudget
from sagesched_gateway.settings.config import parse_config
from sagesched_gateway.settings.section import ConfigError
from sagesched_gateway.settings.sections.drain import DrainConfig


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@given(
    needed_s=st.floats(0, 1e6), max_s=st.floats(0, 3600), quantile=st.one_of(st.none(), st.floats(0.01, 1))
)
def test_never_more_than_the_longest_time_and_all_of_it_without_a_quantile(needed_s, max_s, quantile):
    config = DrainConfig(max_s=max_s, quantile=quantile)
    seconds = DrainBudget(lambda _: needed_s, Clock()).seconds(config)
    assert seconds <= max_s
    if quantile is None:
        assert seconds == max_s
    else:
        assert seconds == min(max(needed_s, LEAST_S), max_s)


def test_it_runs_from_the_drains_beginning_whatever_comes_then():
    clock, needed_s = Clock(), [40.0]
    budget = DrainBudget(lambda _: needed_s[0], clock)
    config = DrainConfig(quantile=0.9)
    assert budget.begin(config) == 40.0
    needed_s[0] = 200.0
    clock.now += 10
    assert budget.seconds(config) == 30.0
    assert budget.begin(config) == 30.0  # SIGTERM after the hook's drain begins no new one
    assert budget.seconds(DrainConfig(max_s=1.0)) == 30.0
    clock.now += 100
    assert budget.seconds(config) == 0.0


async def test_what_runs_is_asked_for_its_remaining_length(bench):
    b = bench(slots=1)
    assert b.dispatcher.until_ended_s(0.9) == 0.0
    b.dispatcher.generate(a_message("first"))
    b.dispatcher.generate(a_message("predicted"))
    b.predictor.answer("predicted", 60.0)
    b.upstream.call("first").token(final=True)
    await ticks()
    needed_s = b.dispatcher.until_ended_s(0.9)
    assert needed_s == pytest.approx(b.dispatcher.outlook().drain_in_flight_s, rel=0.01)
    assert needed_s > 30 * b.dispatcher.snapshot().iteration_s


def test_a_quantile_without_predictions_is_refused():
    with pytest.raises(ConfigError, match=r"drain\.quantile: needs predictions"):
        parse_config({"drain": {"quantile": 0.9}, "predictor": {"mode": "None"}})
    with pytest.raises(ConfigError, match=r"drain\.quantile: must be a number above 0 and at most 1"):
        parse_config({"drain": {"quantile": 1.5}})

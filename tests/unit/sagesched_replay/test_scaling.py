"""The same trace, faster; and its name."""

import math
from dataclasses import replace

import pytest

from sagesched_emulator.trace import Trace, TraceRequest
from sagesched_replay.scaling import at_load, faster, trace_digest

REQUESTS = tuple(
    TraceRequest(id=str(n), prompt="", prompt_tokens=4, max_tokens=9, arrival_s=3.0 * n, output_tokens=2)
    for n in range(3)
)
TRACE = Trace(requests=REQUESTS, rho=0.5, seed=0, span_s=6.0)


def test_twice_the_rate_is_half_the_gaps() -> None:
    twice = faster(TRACE, 2.0)
    assert [one.arrival_s for one in twice.requests] == [0.0, 1.5, 3.0]
    assert (twice.rho, twice.span_s) == (1.0, 3.0)
    assert at_load(TRACE, 1.0) == twice
    assert faster(TRACE, 1.0) is TRACE


@pytest.mark.parametrize("factor", [0.0, -1.0, math.inf, math.nan])
def test_no_other_factor_goes(factor: float) -> None:
    with pytest.raises(ValueError, match="above 0"):
        faster(TRACE, factor)
    with pytest.raises(ValueError, match="above 0"):
        at_load(TRACE, factor)


def test_what_arrives_at_once_has_no_load() -> None:
    at_once = replace(TRACE, rho=math.nan)
    assert at_load(at_once, 0.9) is at_once


def test_the_digest_is_of_what_decides_a_run() -> None:
    assert trace_digest(TRACE) == trace_digest(replace(TRACE, seed=7))
    assert trace_digest(TRACE) != trace_digest(faster(TRACE, 2.0))

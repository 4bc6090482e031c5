"""Drawing traces: the load is exact, seeds decide everything, true lengths stay apart from what is known."""

import math
from dataclasses import replace

import numpy as np
import pytest

from sagesched_emulator.dataset import DatasetError, Record
from sagesched_emulator.profiles import profile
from sagesched_emulator.trace import Trace, draw_trace
from sagesched_predictor import LengthDistribution

KV_BOUND = profile("kv-bound")


def some_records(num: int = 40) -> list[Record]:
    return [
        Record(
            prompt=f"prompt {index}",
            prompt_tokens=20 + index,
            output_samples=tuple(range(10 + index, 20 + index)),
        )
        for index in range(num)
    ]


def a_trace(
    records: list[Record], *, rho: float = 1.0, num: int = 30, seed: int = 0, repeats: bool = False
) -> Trace:
    return draw_trace(records, profile=KV_BOUND, rho=rho, num_requests=num, seed=seed, repeats=repeats)


def test_work_over_span_is_rho() -> None:
    trace = a_trace(some_records(), rho=1.3)
    work_s = sum(KV_BOUND.work(request.prompt_tokens, request.output_tokens) for request in trace.requests)
    assert trace.requests[-1].arrival_s == trace.span_s
    assert work_s / trace.span_s == pytest.approx(1.3)
    assert trace.rho == pytest.approx(1.3)


def test_arrivals_are_ordered_and_gaps_look_exponential() -> None:
    trace = a_trace(some_records(), num=4000, repeats=True)
    gaps = np.diff([request.arrival_s for request in trace.requests])
    assert (gaps >= 0).all()
    assert gaps.std() / gaps.mean() == pytest.approx(1.0, abs=0.1)


def test_the_same_seed_gives_the_same_trace_and_another_seed_another() -> None:
    assert a_trace(some_records(), seed=3) == a_trace(some_records(), seed=3)
    assert a_trace(some_records(), seed=3) != a_trace(some_records(), seed=4)


def test_another_load_keeps_the_requests_and_scales_their_arrivals() -> None:
    slow, fast = a_trace(some_records(), rho=0.5), a_trace(some_records(), rho=1.0)
    for one, other in zip(slow.requests, fast.requests, strict=True):
        assert one.arrival_s == pytest.approx(2 * other.arrival_s)
        assert replace(one, arrival_s=0.0) == replace(other, arrival_s=0.0)


def test_one_answer_is_what_happens_and_the_others_are_known() -> None:
    record = Record(prompt="a", prompt_tokens=5, output_samples=(10, 20, 30))
    drawn = {request.output_tokens for request in a_trace([record], num=60).requests}
    assert drawn == {10, 20, 30}
    for request in a_trace([record], num=20).requests:
        others = [length for length in record.output_samples if length != request.output_tokens]
        assert request.known == LengthDistribution.from_samples(others)


def test_lengths_are_cut_at_max_tokens_and_then_censored() -> None:
    record = Record(prompt="a", prompt_tokens=5, output_samples=(50, 500, 5000), max_tokens=100)
    for request in a_trace([record], num=20).requests:
        assert request.output_tokens <= 100
        assert request.censored == (request.output_tokens == 100)
        assert request.known is not None
        assert request.known.tokens[-1] == 100
        assert request.max_tokens == 100


def test_what_happened_may_be_given_with_other_answers_beside_it() -> None:
    (request,) = a_trace([Record(prompt="a", output_tokens=7, output_samples=(5, 9))], num=1).requests
    assert request.output_tokens == 7
    assert request.known == LengthDistribution.from_samples([5, 9])
    (request,) = a_trace([Record(prompt="a", output_tokens=7)], num=1).requests
    assert request.known is None


def test_lines_repeat_only_when_asked_or_needed() -> None:
    def distinct(trace: Trace) -> int:
        return len({request.prompt for request in trace.requests})

    assert distinct(a_trace(some_records(40), num=40)) == 40
    assert distinct(a_trace(some_records(40), num=40, repeats=True)) < 40
    assert len(a_trace(some_records(5), num=40).requests) == 40


def test_ids_are_unique_although_lines_repeat() -> None:
    trace = a_trace([replace(record, id="same") for record in some_records(3)], num=50)
    assert len({request.id for request in trace.requests}) == 50


def test_prompt_tokens_are_estimated_from_utf8_where_they_are_missing() -> None:
    (request,) = a_trace([Record(prompt="äöü" * 3, output_tokens=1)], num=1).requests
    assert request.prompt_tokens == math.ceil(18 / 4)


def test_given_arrivals_are_kept_from_the_first_on() -> None:
    records = [
        replace(record, arrival_s=100.0 - index, id=f"mine{index}")
        for index, record in enumerate(some_records(5))
    ]
    trace = a_trace(records, num=3, rho=77)
    assert [request.arrival_s for request in trace.requests] == [0.0, 1.0, 2.0]
    assert [request.id for request in trace.requests] == ["mine4", "mine3", "mine2"]
    assert trace.rho != 77


def test_all_arriving_at_once_is_no_load_but_allowed() -> None:
    trace = a_trace([replace(record, arrival_s=5.0) for record in some_records(3)])
    assert [request.arrival_s for request in trace.requests] == [0.0, 0.0, 0.0]
    assert math.isnan(trace.rho)


def test_a_trace_written_as_records_is_read_back_as_the_same_trace() -> None:
    trace = a_trace(some_records())
    again = a_trace(trace.records())
    assert again.requests == trace.requests


def test_what_cannot_be_drawn_is_refused() -> None:
    with pytest.raises(DatasetError, match="'arrival_s' is on 1 of 3 lines"):
        a_trace([*some_records(2), Record(prompt="x", output_tokens=1, arrival_s=1.0)])
    with pytest.raises(DatasetError, match="no records"):
        a_trace([])
    with pytest.raises(ValueError, match="rho must be above 0"):
        a_trace(some_records(), rho=0.0)
    with pytest.raises(ValueError, match="at least 1 request"):
        a_trace(some_records(), num=0)

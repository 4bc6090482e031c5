"""A request's life in dispatch: queued, started, carried, ended, whoever ends it first."""

from __future__ import annotations

import asyncio

import pytest
from dispatch_fakes import FakeCall, a_message, ticks, until

from sagesched_gateway.dispatch import pump
from sagesched_gateway.dispatch.queue_limits import QueueLimits
from sagesched_gateway.errors import (
    DeadlineError,
    DrainingError,
    InvalidRequestError,
    NeverFitsError,
    QueueFullError,
    StoppedError,
    UpstreamError,
    UpstreamUnavailableError,
)
from sagesched_gateway.request import StopOrderError
from sagesched_predictor.features import Outcome

AWAY = UpstreamUnavailableError("Exceeds maximum queue size")


@pytest.fixture(autouse=True)
def no_retry_delay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pump, "RETRY_DELAY_S", 0.0)


async def test_with_room_a_request_starts_before_anything_is_awaited(bench):
    b = bench()
    b.dispatcher.generate(a_message("now"))
    assert b.upstream.started == ["now"]


async def test_responses_come_in_order_and_then_the_end(bench):
    b = bench()
    generation = b.dispatcher.generate(a_message())
    call: FakeCall = b.upstream.calls[0]
    call.token()
    call.token(2)
    call.token(final=True)
    assert len([response async for response in generation]) == 3
    assert generation.output_tokens == 4
    assert generation.queue_s is not None
    assert generation.ttft_s is not None


async def test_upstream_ids_differ_though_the_callers_ids_are_the_same(bench):
    b = bench(slots=2)
    b.dispatcher.generate(a_message(id="same"))
    b.dispatcher.generate(a_message(id="same"))
    first, second = (call.request for call in b.upstream.calls)
    assert first.upstream_id != second.upstream_id
    assert first.client_id == second.client_id == "same"


async def test_a_full_engine_makes_requests_wait_until_its_final_response(bench):
    b = bench(slots=1)
    b.dispatcher.generate(a_message("first"))
    b.dispatcher.generate(a_message("second"))
    b.upstream.call("first").token()
    await ticks()
    assert b.upstream.started == ["first"]
    b.upstream.call("first").token(final=True)
    await ticks()
    assert b.upstream.started == ["first", "second"]


async def test_a_caller_that_leaves_does_not_free_the_slot_the_engine_does(bench):
    b = bench(slots=1)
    generation = b.dispatcher.generate(a_message("first"))
    b.dispatcher.generate(a_message("second"))
    b.upstream.call("first").token()
    await ticks()
    await generation.aclose()
    await ticks()
    assert b.upstream.call("first").num_cancels == 1
    assert b.upstream.started == ["first"]
    b.upstream.call("first").end()
    await ticks()
    assert b.upstream.started == ["first", "second"]
    assert b.telemetry.finished == [("cancelled", 1)]


async def test_a_waiting_request_whose_caller_left_is_never_sent(bench):
    b = bench(slots=1)
    b.dispatcher.generate(a_message("first"))
    waiting = b.dispatcher.generate(a_message("second"))
    await waiting.aclose()
    await waiting.aclose()
    b.upstream.call("first").token(final=True)
    await ticks()
    assert b.upstream.started == ["first"]
    assert b.dispatcher.num_live == 0


async def test_predictions_that_come_in_time_decide_the_order(bench):
    b = bench(slots=1, policy="ssjf")
    for prompt in ("running", "long", "short"):
        b.dispatcher.generate(a_message(prompt))
    b.predictor.answer("long", 90.0)
    b.predictor.answer("short", 3.0)
    b.upstream.call("running").token(final=True)
    await ticks()
    assert b.upstream.started == ["running", "short"]


async def test_what_waits_is_predicted_at_once_and_what_runs_a_little_after_its_first_token(bench):
    b = bench(slots=1)
    b.dispatcher.generate(a_message("running"))
    b.dispatcher.generate(a_message("waiting"))
    assert [features.prompt for features in b.predictor.asked.values()] == ["waiting"]
    b.upstream.call("running").token()
    await ticks()
    assert [features.prompt for features in b.predictor.asked.values()] == ["waiting"]
    await until(lambda: len(b.predictor.asked) == 2)
    assert [features.prompt for features in b.predictor.asked.values()] == ["waiting", "running"]


async def test_a_short_answer_is_predicted_before_its_length_is_told(bench):
    b = bench()
    b.dispatcher.generate(a_message("short"))
    b.upstream.call("short").token(final=True)
    await ticks()
    assert [features.prompt for features in b.predictor.asked.values()] == ["short"]
    assert len(b.predictor.observed) == 1
    await asyncio.sleep(2 * pump.PREDICT_AFTER_S)
    assert len(b.predictor.asked) == 1


async def test_a_request_that_waits_again_is_predicted(bench):
    b = bench()
    b.dispatcher.generate(a_message("refused"))
    b.upstream.call("refused").fail(AWAY)
    await ticks(50)
    assert [features.prompt for features in b.predictor.asked.values()] == ["refused"]


async def test_a_late_or_empty_prediction_harms_nobody(bench):
    b = bench(slots=1)
    b.dispatcher.generate(a_message("running"))
    b.dispatcher.generate(a_message("waiting"))
    b.predictor.answer("waiting")
    b.upstream.call("running").token(final=True)
    await ticks()
    b.predictor.answer("running", 5.0)
    assert b.upstream.started == ["running", "waiting"]


async def test_a_deadline_drops_a_waiting_request(bench):
    b = bench(slots=1)
    b.dispatcher.generate(a_message("running"))
    now = asyncio.get_running_loop().time()
    waiting = b.dispatcher.generate(a_message("waiting"), deadline_at=now + 0.01)
    with pytest.raises(DeadlineError):
        await anext(waiting)
    b.upstream.call("running").token(final=True)
    await ticks()
    assert b.upstream.started == ["running"]
    assert b.telemetry.finished[0] == ("deadline-exceeded", 0)


async def test_a_deadline_really_stops_a_running_request(bench):
    b = bench(slots=1)
    now = asyncio.get_running_loop().time()
    running = b.dispatcher.generate(a_message("running"), deadline_at=now + 0.01)
    b.upstream.call("running").token()
    assert await anext(running)
    with pytest.raises(DeadlineError):
        await anext(running)
    await ticks()
    assert b.upstream.call("running").num_cancels == 1
    assert b.dispatcher.num_live == 1
    b.upstream.call("running").end()
    await ticks()
    assert b.telemetry.finished == [("deadline-exceeded", 1)]


async def test_a_refusal_before_the_first_token_is_tried_once_more_with_its_arrival_kept(bench):
    b = bench(slots=1)
    generation = b.dispatcher.generate(a_message("refused"))
    b.dispatcher.generate(a_message("later"))
    b.upstream.call("refused").fail(AWAY)
    await ticks(50)
    assert b.upstream.started == ["refused", "refused"]
    b.upstream.call("refused").token(final=True)
    assert [response async for response in generation]
    assert b.dispatcher.snapshot().counters["retried"] == 1


async def test_a_second_refusal_reaches_the_caller(bench):
    b = bench()
    generation = b.dispatcher.generate(a_message("refused"))
    b.upstream.call("refused").fail(AWAY)
    await ticks(50)
    b.upstream.call("refused").fail(AWAY)
    with pytest.raises(UpstreamUnavailableError):
        await anext(generation)
    assert b.dispatcher.num_live == 0


async def test_a_request_without_a_token_waits_in_its_place_for_a_triton_that_is_away(bench):
    is_back = asyncio.Event()
    b = bench(slots=1, until_back=is_back.wait)
    generation = b.dispatcher.generate(a_message("first"))
    b.dispatcher.generate(a_message("later"))
    b.upstream.call("first").fail(AWAY)
    await ticks(50)
    assert b.upstream.started == ["first"]
    is_back.set()
    await ticks(50)
    assert b.upstream.started == ["first", "first"]
    b.upstream.call("first").token(final=True)
    assert [response async for response in generation]


async def test_a_triton_that_stays_away_is_told_to_the_caller(bench):
    async def never() -> bool:
        return False

    b = bench(until_back=never)
    generation = b.dispatcher.generate(a_message("lost"))
    b.upstream.call("lost").fail(AWAY)
    with pytest.raises(UpstreamUnavailableError):
        await anext(generation)
    assert b.upstream.started == ["lost"]
    assert b.dispatcher.num_live == 0


async def test_after_the_first_token_nothing_is_tried_again(bench):
    b = bench()
    generation = b.dispatcher.generate(a_message())
    b.upstream.calls[0].token()
    assert await anext(generation)
    b.upstream.calls[0].fail(AWAY)
    with pytest.raises(UpstreamUnavailableError):
        await anext(generation)
    assert len(b.upstream.calls) == 1


async def test_after_the_first_response_nothing_is_tried_again_though_it_brought_no_token(bench):
    b = bench()
    generation = b.dispatcher.generate(a_message())
    b.upstream.calls[0].token(0)
    assert await anext(generation)
    b.upstream.calls[0].fail(AWAY)
    with pytest.raises(UpstreamUnavailableError):
        await anext(generation)
    assert len(b.upstream.calls) == 1


async def test_other_errors_of_the_engine_are_not_tried_again(bench):
    b = bench()
    generation = b.dispatcher.generate(a_message())
    b.upstream.calls[0].fail(UpstreamError("it failed", code="INTERNAL"))
    with pytest.raises(UpstreamError, match="it failed"):
        await anext(generation)
    assert len(b.upstream.calls) == 1


async def test_a_caller_that_leaves_while_its_request_is_to_be_tried_again_frees_the_slot(bench):
    b = bench(slots=1)
    generation = b.dispatcher.generate(a_message("refused"))
    b.dispatcher.generate(a_message("next"))
    b.upstream.call("refused").fail(AWAY)
    await asyncio.sleep(0)
    await generation.aclose()
    await ticks(50)
    assert b.upstream.started == ["refused", "next"]


@pytest.mark.parametrize(
    ("tokens", "max_tokens", "expected"),
    [(3, 100, Outcome(output_tokens=3, censored=False)), (5, 5, Outcome(output_tokens=5, censored=True))],
)
async def test_lengths_are_learned_from_and_cut_off_ones_are_marked(bench, tokens, max_tokens, expected):
    b = bench()
    b.dispatcher.generate(a_message("p", max_tokens=max_tokens))
    b.upstream.calls[0].token(tokens, final=True)
    await ticks()
    assert b.predictor.observed == [("p", expected)]


async def test_a_cancelled_answer_is_a_cut_off_length(bench):
    b = bench()
    generation = b.dispatcher.generate(a_message("p"))
    b.upstream.calls[0].token(4)
    await ticks()
    await generation.aclose()
    b.upstream.calls[0].end()
    await ticks()
    assert b.predictor.observed == [("p", Outcome(output_tokens=4, censored=True))]


async def test_answers_of_unknown_length_teach_nothing(bench):
    b = bench()
    b.upstream.counts_tokens = False
    b.dispatcher.generate(a_message("p"))
    b.upstream.calls[0].token(final=True)
    await ticks()
    assert b.predictor.observed == []


async def test_a_message_that_cannot_be_read_raises_and_leaves_nothing(bench):
    b = bench()
    message = a_message()
    del message.parameters["prompt"]
    with pytest.raises(InvalidRequestError):
        b.dispatcher.generate(message)
    assert b.dispatcher.num_live == 0


async def test_what_can_never_fit_is_refused_when_that_is_a_fact(bench):
    b = bench(max_num_tokens=1000)
    generation = b.dispatcher.generate(a_message(prompt_tokens=1001))
    with pytest.raises(NeverFitsError, match="1001"):
        await anext(generation)
    assert b.telemetry.finished == [("never-fits", 0)]


async def test_an_estimated_length_never_refuses_a_request(bench):
    b = bench(max_num_tokens=1000, kv_blocks=20)
    b.dispatcher.generate(a_message("x" * 9000, max_tokens=50))
    assert len(b.upstream.calls) == 1


async def test_a_stop_order_lets_a_running_request_end_in_the_engine(bench):
    b = bench(slots=1)
    generation = b.dispatcher.generate(a_message(id="mine"))
    order = a_message(id="mine")
    order.parameters["stop"].bool_param = True
    with pytest.raises(StopOrderError):
        b.dispatcher.generate(order)
    await ticks()
    assert b.upstream.calls[0].num_cancels == 1
    b.upstream.calls[0].token(final=True)
    assert len([response async for response in generation]) == 1


@pytest.mark.parametrize("is_told_first", [True, False])
async def test_a_stop_order_ends_a_request_that_would_be_tried_again(bench, is_told_first):
    is_back = asyncio.Event()
    b = bench(slots=1, until_back=is_back.wait)
    generation = b.dispatcher.generate(a_message(id="mine"))
    order = a_message(id="mine")
    order.parameters["stop"].bool_param = True
    if is_told_first:
        with pytest.raises(StopOrderError):
            b.dispatcher.generate(order)
    b.upstream.calls[0].fail(AWAY)
    await ticks(50)
    if not is_told_first:
        with pytest.raises(StopOrderError):
            b.dispatcher.generate(order)
    is_back.set()
    async with asyncio.timeout(5):
        with pytest.raises(UpstreamUnavailableError):
            await anext(generation)
    assert len(b.upstream.calls) == 1
    assert b.dispatcher.num_live == 0


@pytest.mark.parametrize("is_draining", [True, False])
async def test_a_stop_order_is_carried_out_though_nothing_else_is_taken(bench, is_draining):
    b = bench(slots=1, limits=QueueLimits(requests=1))
    b.dispatcher.generate(a_message(id="mine"))
    b.dispatcher.generate(a_message(id="other"))
    b.upstream.calls[0].ends_when_cancelled = True
    if is_draining:
        drain = asyncio.create_task(b.dispatcher.drain(60))
        await ticks()
    with pytest.raises(DrainingError if is_draining else QueueFullError):
        b.dispatcher.generate(a_message(id="more"))
    order = a_message(id="mine")
    order.parameters["stop"].bool_param = True
    with pytest.raises(StopOrderError):
        b.dispatcher.generate(order)
    await ticks()
    assert b.upstream.calls[0].num_cancels == 1
    assert b.dispatcher.snapshot().counters["refused"] == 1
    if is_draining:
        drain.cancel()


async def test_a_stop_order_ends_a_waiting_request_here(bench):
    b = bench(slots=1)
    b.dispatcher.generate(a_message(id="other"))
    waiting = b.dispatcher.generate(a_message(id="mine"))
    order = a_message(id="mine")
    order.parameters["stop"].bool_param = True
    with pytest.raises(StopOrderError):
        b.dispatcher.generate(order)
    with pytest.raises(StoppedError):
        await anext(waiting)
    assert b.dispatcher.num_live == 1


async def test_the_engines_own_count_teaches_the_estimate(bench):
    b = bench()
    for _ in range(20):
        b.dispatcher.generate(a_message("x" * 600))
        b.upstream.calls[-1].token(final=True, input_tokens=300)
        await ticks()
    assert b.counter.count_prompt("x" * 600) == pytest.approx(300, rel=0.15)


async def test_a_long_prompt_is_counted_beside_the_loop(bench, monkeypatch):
    b = bench()
    monkeypatch.setattr(b.counter, "is_slow", lambda prompt: True)
    generation = b.dispatcher.generate(a_message("long one"))
    assert b.upstream.started == []
    await until(lambda: b.upstream.calls)
    b.upstream.calls[0].token(final=True)
    assert [response async for response in generation]


async def test_a_caller_that_leaves_while_its_prompt_is_counted_is_forgotten(bench, monkeypatch):
    b = bench()
    monkeypatch.setattr(b.counter, "is_slow", lambda prompt: True)
    generation = b.dispatcher.generate(a_message("long one"))
    await generation.aclose()
    assert b.dispatcher.num_live == 0
    await asyncio.gather(*(task for task in asyncio.all_tasks() if task is not asyncio.current_task()))
    assert b.upstream.started == []


async def test_a_defect_ends_its_request_and_stops_it_in_the_engine(bench, monkeypatch):
    b = bench()
    generation = b.dispatcher.generate(a_message())
    monkeypatch.setattr(b.capacity, "saw_gaps", lambda seconds, tokens: 1 / 0)
    b.upstream.calls[0].token()
    b.upstream.calls[0].token(16)
    with pytest.raises(Exception, match="ZeroDivisionError"):
        [response async for response in generation]
    await ticks()
    assert b.upstream.calls[0].num_cancels == 1
    assert b.dispatcher.num_live == 0

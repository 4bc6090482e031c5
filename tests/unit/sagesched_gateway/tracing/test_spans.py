"""What a request's trace says, as a collector gets it; and that it costs nothing where it is off."""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1] / "dispatch"))

from dispatch_fakes import Bench, a_message, ticks
from trace_receiver import TraceReceiver

from sagesched_gateway.request import Conversation
from sagesched_gateway.settings.config import parse_config
from sagesched_gateway.settings.section import ConfigError
from sagesched_gateway.settings.sections.traces import TracesConfig
from sagesched_gateway.tracing.live import LiveTracing

PARENT = ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
UNSAMPLED = ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00")


@pytest.fixture
def receiver():
    receiver = TraceReceiver()
    yield receiver
    receiver.close()


def until(condition: Callable[[], object]) -> None:
    ends_at = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < ends_at
        time.sleep(0.02)


async def sent(receiver, tracing, number):
    await tracing.close()
    until(lambda: len(receiver.spans) >= number)
    return {span.name: span for span in receiver.spans}


async def is_on(tracing):
    await tracing.started()
    assert tracing.is_on
    return tracing


async def a_tracing(receiver, **settings):
    return await is_on(
        LiveTracing(TracesConfig(endpoint=receiver.endpoint, **{"sample_ratio": 1.0, **settings}))
    )


async def test_a_request_is_a_span_with_its_phases_under_its_callers(receiver):
    tracing = await a_tracing(receiver, resource=(("sagesched.pool", "llama"),))
    b = Bench(slots=1, tracing=tracing)
    b.dispatcher.generate(a_message("running"))
    b.dispatcher.generate(
        a_message("a secret prompt", id="mine", max_tokens=7), metadata=(PARENT, ("other", "kept"))
    )
    b.upstream.call("running").token(final=True)
    await ticks()
    call = b.upstream.call("a secret prompt")
    told = dict(call.request.metadata)
    call.token(2)
    await ticks()
    call.token(3, final=True)
    await ticks()
    spans = await sent(receiver, tracing, 8)
    mine = next(span for span in receiver.spans if span.attributes.get("sagesched.request.id") == "mine")
    parts = {span.name: span for span in receiver.spans if span.parent_id == mine.span_id}
    assert mine.name == "text_completion text"
    assert mine.kind == "SERVER"
    assert (mine.trace_id, mine.parent_id) == (PARENT[1][3:35], PARENT[1][36:52])
    assert told["traceparent"] == f"00-{mine.trace_id}-{mine.span_id}-01"
    assert told["other"] == "kept"
    assert mine.attributes["gen_ai.request.max_tokens"] == 7
    assert mine.attributes["gen_ai.usage.output_tokens"] == 5
    assert mine.attributes["sagesched.outcome"] == "completed"
    assert mine.attributes["sagesched.policy"] == b.dispatcher.snapshot().policy
    assert not mine.is_error
    assert mine.resource["service.name"] == "sagesched-gateway"
    assert mine.resource["sagesched.pool"] == "llama"
    assert list(parts) == ["queue", "prefill", "decode"]
    edges = [
        mine.start_s,
        *(edge for part in parts.values() for edge in (part.start_s, part.end_s)),
        mine.end_s,
    ]
    assert edges == sorted(edges)
    assert parts["queue"].end_s == parts["prefill"].start_s
    assert abs(time.time() - mine.end_s) < 20
    assert not receiver.holds("secret")
    assert {span.name for span in spans.values()} == {"text_completion text", "queue", "prefill", "decode"}


async def test_a_chat_is_an_operation_of_its_own(receiver):
    tracing = await a_tracing(receiver)
    b = Bench(slots=2, tracing=tracing)
    b.dispatcher.generate(a_message("chat"), conversation=Conversation(text="chat"))
    b.dispatcher.generate(a_message("text"))
    for prompt in ("chat", "text"):
        b.upstream.call(prompt).token(final=True)
    await ticks()
    spans = await sent(receiver, tracing, 8)
    assert spans["chat text"].attributes["gen_ai.operation.name"] == "chat"
    assert spans["text_completion text"].attributes["gen_ai.operation.name"] == "text_completion"


async def test_an_error_is_named_by_its_word(receiver):
    tracing = await a_tracing(receiver)
    b = Bench(slots=1, tracing=tracing)
    b.dispatcher.generate(a_message("running"))
    b.dispatcher.generate(a_message("waits"))
    b.upstream.call("running").ends_when_cancelled = True
    await b.dispatcher.drain(0.01)
    await sent(receiver, tracing, 5)
    requests = [span for span in receiver.spans if span.kind == "SERVER"]
    assert [span.attributes["error.type"] for span in requests] == ["draining"] * 2
    assert all(span.is_error for span in requests)
    waited = next(span for span in requests if "sagesched.queue.duration" not in span.attributes)
    assert [span.name for span in receiver.spans if span.parent_id == waited.span_id] == ["queue"]


async def test_the_callers_decision_counts_and_without_one_the_ratio(receiver):
    tracing = await a_tracing(receiver, sample_ratio=0.0)
    b = Bench(slots=8, tracing=tracing)
    for name, metadata in (("none", ()), ("no", (UNSAMPLED,)), ("yes", (PARENT,))):
        b.dispatcher.generate(a_message(name, id=name), metadata=metadata)
        b.upstream.call(name).token(final=True)
    await ticks()
    assert b.upstream.call("none").request.metadata == ()
    assert b.upstream.call("no").request.metadata == (UNSAMPLED,)  # Triton hears of it as before
    await sent(receiver, tracing, 4)
    assert [s.attributes["sagesched.request.id"] for s in receiver.spans if s.kind == "SERVER"] == ["yes"]


async def test_off_leaves_requests_alone_and_it_can_be_turned_on_and_off(receiver):
    tracing = LiveTracing(TracesConfig())
    b = Bench(slots=8, tracing=tracing)

    async def one(name):
        b.dispatcher.generate(a_message(name, id=name), metadata=(PARENT,))
        call = b.upstream.call(name)
        call.token(final=True)
        await ticks()
        return call.request.metadata

    assert await one("off") == (PARENT,)
    tracing.use(TracesConfig(endpoint=receiver.endpoint, sample_ratio=1.0))
    await is_on(tracing)
    assert await one("on") != (PARENT,)
    tracing.use(TracesConfig())
    until(lambda: receiver.spans)
    assert await one("off again") == (PARENT,)
    assert [s.attributes["sagesched.request.id"] for s in receiver.spans if s.kind == "SERVER"] == ["on"]


async def test_settings_that_change_at_once_leave_the_last_ones(receiver):
    tracing = LiveTracing(TracesConfig(endpoint=receiver.endpoint, sample_ratio=0.5))
    tracing.use(TracesConfig(endpoint=receiver.endpoint, sample_ratio=1.0))
    tracing.use(TracesConfig())
    await asyncio.sleep(0.3)
    assert not tracing.is_on
    tracing.use(TracesConfig(endpoint=receiver.endpoint))
    await tracing.close()
    assert not tracing.is_on


async def test_a_collector_that_is_away_holds_up_nothing_and_is_given_up():
    others = set(threading.enumerate())
    tracing = await is_on(LiveTracing(TracesConfig(endpoint="http://127.0.0.1:1", sample_ratio=1.0)))
    b = Bench(slots=8, tracing=tracing)
    for number in range(50):
        generation = b.dispatcher.generate(a_message(f"{number}"))
        b.upstream.call(f"{number}").token(final=True)
        assert len([response async for response in generation]) == 1
    began_at = time.monotonic()
    await tracing.close()
    assert time.monotonic() - began_at < 4
    assert not [one for one in threading.enumerate() if one not in others and "Otel" in one.name]


@pytest.mark.parametrize(
    "endpoint", ["collector:4317", "http://collector", "ftp://c:1", "http://c:1/v1/traces", "http://c:99999"]
)
def test_an_endpoint_is_scheme_host_and_port(endpoint):
    with pytest.raises(ConfigError, match=r"traces\.endpoint: must be http://host:port"):
        parse_config({"traces": {"endpoint": endpoint}})


async def test_tracing_that_cannot_begin_is_told_and_holds_up_nothing(monkeypatch, caplog):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "none such")
    tracing = LiveTracing(TracesConfig(endpoint="http://127.0.0.1:1"))
    await tracing.started()
    assert not tracing.is_on
    assert "traces: cannot begin, requests are served without" in caplog.messages
    await tracing.close()

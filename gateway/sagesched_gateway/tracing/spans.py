"""`Tracing`: a trace of a request, from its arrival to its end.

    <operation> <model>     SERVER, arrival → end
      ├ queue               waiting in the gateway
      ├ prefill             from the engine's start to the first token
      └ decode              from the first token to the end

All but the request's own span is made when it is over, from the instants that dispatch keeps anyway: a token
costs nothing for it. A caller's `traceparent` (W3C) is the parent, and Triton gets the request's span as its
own. Names are those of OpenTelemetry's conventions for generative AI as they stand (they are in development),
`sagesched.*` for what these have no name for. Neither prompts nor answers, nor anything else that a caller
wrote but the model's name and the request's id, are part of a span.

Export runs in a thread of the library's own; what it cannot get rid of it drops.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Mapping
from importlib import metadata

from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, Tracer, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.util.types import AttributeValue

from sagesched_gateway.dispatch.ports import RequestRecord, RequestTrace
from sagesched_gateway.request import GenerationRequest
from sagesched_gateway.settings.sections.traces import TracesConfig
from sagesched_predictor.distribution import LengthDistribution

_CONTEXT = TraceContextTextMapPropagator()
_PARENT = "traceparent"
_STATE = "tracestate"
_FINE = frozenset({"completed", "cancelled"})
_LAST_S = 2.0
"""For what is left when tracing ends; the exporter itself would go on asking a collector that is away."""


class Tracing:
    """Traces to one collector."""

    def __init__(self, config: TracesConfig) -> None:
        """Start the exporter's thread; the collector need not be there.

        Args:
            config: with an endpoint.
        """
        assert config.endpoint is not None, "asked only where there is one"
        resource = Resource.create(
            {
                "service.name": "sagesched-gateway",
                "service.version": metadata.version("sagesched"),
                "service.instance.id": socket.gethostname(),
                **dict(config.resource),
            }
        )
        sampler = ParentBased(TraceIdRatioBased(config.sample_ratio))
        self._provider = TracerProvider(resource=resource, sampler=sampler, shutdown_on_exit=False)
        self._exporter = OTLPSpanExporter(
            endpoint=config.endpoint, insecure=config.endpoint.startswith("http://"), timeout=5
        )
        self._provider.add_span_processor(BatchSpanProcessor(self._exporter))
        self._tracer = self._provider.get_tracer("sagesched_gateway")

    def begin(self, request: GenerationRequest, age_s: float, *, is_chat: bool) -> RequestTrace | None:
        """See `dispatch.ports.Tracing`."""
        carried = {
            key: value
            for key, value in request.metadata
            if key in (_PARENT, _STATE) and isinstance(value, str)
        }
        began_ns = time.time_ns() - _ns(age_s)
        operation = "chat" if is_chat else "text_completion"
        span = self._tracer.start_span(
            f"{operation} {request.model}",
            context=_CONTEXT.extract(carried) if carried else None,
            kind=SpanKind.SERVER,
            start_time=began_ns,
            attributes={"gen_ai.operation.name": operation},
        )
        if not span.is_recording():
            return None  # the caller's own context goes on to Triton as it is
        told: dict[str, str] = {}
        _CONTEXT.inject(told, set_span_in_context(span))
        others = [(key, value) for key, value in request.metadata if key not in (_PARENT, _STATE)]
        request.metadata = (*others, *told.items())
        return _Trace(self._tracer, span, began_ns, request)

    def close(self) -> threading.Thread:
        """Send what there is, in a thread that ends soon: where the collector is away that is given up."""
        ending = threading.Thread(target=self._end, name="traces-end", daemon=True)
        ending.start()
        return ending

    def _end(self) -> None:
        giving_up = threading.Timer(_LAST_S, self._exporter.shutdown)
        giving_up.daemon = True
        giving_up.start()
        self._provider.shutdown()
        giving_up.cancel()


class _Trace:
    """See `dispatch.ports.RequestTrace`."""

    __slots__ = ("_began_ns", "_request", "_span", "_tracer")

    def __init__(self, tracer: Tracer, span: Span, began_ns: int, request: GenerationRequest) -> None:
        self._tracer = tracer
        self._span = span
        self._began_ns = began_ns
        self._request = request

    def end(self, record: RequestRecord, predicted: LengthDistribution | None) -> None:
        """See `dispatch.ports.RequestTrace`; of what was begun anew all waits are shown as one."""
        span, ended_s = self._span, record.ttlt_s
        span.set_attributes(_request_attributes(self._request))
        span.set_attributes(_outcome_attributes(record, predicted))
        if record.outcome not in _FINE:
            span.set_attribute("error.type", record.outcome)
            span.set_status(Status(StatusCode.ERROR))
        started_s = record.queue_s
        self._part("queue", 0.0, ended_s if started_s is None else started_s)
        if started_s is not None:
            self._part("prefill", started_s, ended_s if record.ttft_s is None else record.ttft_s)
        if record.ttft_s is not None:
            self._part("decode", record.ttft_s, ended_s)
        span.end(self._began_ns + _ns(ended_s))

    def _part(self, name: str, from_s: float, to_s: float) -> None:
        context = set_span_in_context(self._span)
        part = self._tracer.start_span(name, context, start_time=self._began_ns + _ns(from_s))
        part.end(self._began_ns + _ns(max(from_s, to_s)))


def _request_attributes(request: GenerationRequest) -> Mapping[str, AttributeValue]:
    attributes: dict[str, AttributeValue] = {
        "gen_ai.request.model": request.model,
        "gen_ai.request.max_tokens": request.max_tokens,
        "gen_ai.request.stream": request.streams,
    }
    if request.temperature is not None:
        attributes["gen_ai.request.temperature"] = request.temperature
    if request.top_p is not None:
        attributes["gen_ai.request.top_p"] = request.top_p
    if request.client_id:
        attributes["sagesched.request.id"] = request.client_id[:128]
    return attributes


def _outcome_attributes(
    record: RequestRecord, predicted: LengthDistribution | None
) -> Mapping[str, AttributeValue]:
    attributes: dict[str, AttributeValue] = {
        "gen_ai.usage.input_tokens": record.prompt_tokens,
        "gen_ai.usage.output_tokens": record.output_tokens,
        "sagesched.outcome": record.outcome,
        "sagesched.policy": record.policy,
        "sagesched.evictions": record.evictions,
    }
    if record.queue_s is not None:
        attributes["sagesched.queue.duration"] = record.queue_s
    if record.ttft_s is not None:
        attributes["gen_ai.response.time_to_first_chunk"] = record.ttft_s
    if predicted is not None:
        attributes["sagesched.predicted.output_tokens.p50"] = float(predicted.quantile(0.5))
        attributes["sagesched.predicted.output_tokens.p90"] = float(predicted.quantile(0.9))
    return attributes


def _ns(seconds: float) -> int:
    return round(seconds * 1e9)

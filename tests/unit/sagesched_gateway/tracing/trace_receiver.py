"""An OpenTelemetry collector's OTLP port, which keeps what it gets."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent import futures
from typing import Any, NamedTuple

import grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as messages
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc as service
from opentelemetry.proto.trace.v1 import trace_pb2


class Received(NamedTuple):
    """A span as it came."""

    name: str
    trace_id: str
    span_id: str
    parent_id: str
    kind: str
    start_s: float
    end_s: float
    attributes: dict[str, Any]
    resource: dict[str, Any]
    is_error: bool


class TraceReceiver(service.TraceServiceServicer):
    """Listens on loopback."""

    def __init__(self) -> None:
        self.requests: list[messages.ExportTraceServiceRequest] = []
        self._server = grpc.server(futures.ThreadPoolExecutor(2))
        service.add_TraceServiceServicer_to_server(self, self._server)
        port = self._server.add_insecure_port("127.0.0.1:0")
        self.endpoint = f"http://127.0.0.1:{port}"
        self._server.start()

    def Export(self, request: Any, context: Any) -> Any:  # noqa: N802  # gRPC's name
        self.requests.append(request)
        return messages.ExportTraceServiceResponse()

    @property
    def spans(self) -> list[Received]:
        return list(self._spans())

    def _spans(self) -> Iterator[Received]:
        for request in list(self.requests):
            for group in request.resource_spans:
                resource = _values(group.resource.attributes)
                for scope in group.scope_spans:
                    for span in scope.spans:
                        yield Received(
                            name=span.name,
                            trace_id=span.trace_id.hex(),
                            span_id=span.span_id.hex(),
                            parent_id=span.parent_span_id.hex(),
                            kind=trace_pb2.Span.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_"),
                            start_s=span.start_time_unix_nano / 1e9,
                            end_s=span.end_time_unix_nano / 1e9,
                            attributes=_values(span.attributes),
                            resource=resource,
                            is_error=span.status.code == trace_pb2.Status.STATUS_CODE_ERROR,
                        )

    def holds(self, text: str) -> bool:
        """Whether the text is anywhere in what came, on the wire."""
        return any(text.encode() in request.SerializeToString() for request in self.requests)

    def close(self) -> None:
        self._server.stop(0).wait()


def _values(attributes: Any) -> dict[str, Any]:
    return {item.key: getattr(item.value, item.value.WhichOneof("value")) for item in attributes}

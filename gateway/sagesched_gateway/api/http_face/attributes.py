"""What HTTP callers say about their requests in headers, and what they are told in those of the answer."""

from __future__ import annotations

from collections.abc import Iterable

from aiohttp import web

from sagesched_gateway.api.attributes import (
    PREDICTED_P50,
    PREDICTED_P90,
    QUEUE_TIME,
    AttributeReader,
    read_attributes,
)
from sagesched_gateway.dispatch.generation import Generation
from sagesched_gateway.request import NO_ATTRIBUTES, Attributes, Metadata

_TRACE_HEADERS = ("traceparent", "tracestate")


def attributes_of(
    request: web.Request, reader: AttributeReader, private: Iterable[tuple[str, str]] = ()
) -> Attributes:
    """What a trusted caller says; nothing of any other.

    Args:
        request: its headers count.
        reader: knows who is trusted.
        private: the same words from inside the body, for example of `take_private`; they win over headers.

    Raises:
        InvalidRequestError: a trusted caller's value is not allowed.
    """
    if not is_trusted(request, reader):
        reader.ignore((*request.headers, *(name for name, _ in private)))
        return NO_ATTRIBUTES
    return read_attributes((*request.headers.items(), *private))


def is_trusted(request: web.Request, reader: AttributeReader) -> bool:
    """Whether the caller's words are believed."""
    return reader.is_on and reader.trusts(request.remote or "")


def told_headers(request: web.Request, reader: AttributeReader, generation: Generation) -> dict[str, str]:
    """Seconds the request waited here; to the trusted, where allowed, its predicted length in tokens."""
    headers = {}
    if generation.queue_s is not None:
        headers[QUEUE_TIME] = f"{generation.queue_s:.6f}"
    predicted = generation.predicted
    if predicted is not None and reader.exposes_prediction and is_trusted(request, reader):
        headers[PREDICTED_P50] = f"{predicted.quantile(0.5):g}"
        headers[PREDICTED_P90] = f"{predicted.quantile(0.9):g}"
    return headers


def trace_context(request: web.Request) -> Metadata:
    """What is passed on to Triton of the caller's headers."""
    return tuple((name, request.headers[name]) for name in _TRACE_HEADERS if name in request.headers)

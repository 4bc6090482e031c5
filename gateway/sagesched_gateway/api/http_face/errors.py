"""How the HTTP faces report a failure: a status, headers with a stable word, and a body in the face's shape.

Triton's shape is `{"error": "..."}`; another face brings its own `Shape` and shares everything else.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware
from aiohttp.web_protocol import RequestPayloadError

from sagesched_gateway.api.json_form.generate import to_bytes
from sagesched_gateway.api.status_codes import http_status
from sagesched_gateway.errors import (
    DeadlineUnreachableError,
    DrainingError,
    GatewayError,
    InternalError,
    InvalidRequestError,
    TooLargeError,
)

Shape = Callable[[int, GatewayError], bytes]
"""JSON body of an error, given its HTTP status."""

ERROR_HEADER = "x-sagesched-error"
"""Carries the error's stable word, where the error is not an answer of Triton's HTTP face passed on."""

PROBABILITY_HEADER = "x-sagesched-probability"
"""Of being done in time, where a deadline is the reason of a refusal."""

_RETRY_AFTER_MS = "retry-after-ms"
_LOG = logging.getLogger(__name__)


def error_body(message: str) -> bytes:
    """The JSON body of an error, as Triton writes it."""
    return to_bytes({"error": message})


def triton_shape(_: int, error: GatewayError) -> bytes:
    """See `Shape`."""
    return error_body(error.message)


def error_headers(error: GatewayError) -> dict[str, str]:
    """The error's word, and when to try again where that may help (whole seconds, and milliseconds)."""
    headers = {ERROR_HEADER: error.word}
    if error.retry_after_s is not None:
        headers[hdrs.RETRY_AFTER] = str(max(1, math.ceil(error.retry_after_s)))
        headers[_RETRY_AFTER_MS] = str(max(1, round(error.retry_after_s * 1000)))
    if isinstance(error, DeadlineUnreachableError) and error.probability is not None:
        headers[PROBABILITY_HEADER] = f"{error.probability:.3f}"
    return headers


def error_response(error: GatewayError, shape: Shape = triton_shape) -> web.Response:
    """The whole answer for an error found before anything was sent."""
    return _response(http_status(error), error, shape)


def caller_left(request: web.Request) -> bool:
    """Whether the connection is gone, so that nobody can be told anything."""
    return request.transport is None or request.transport.is_closing()


def errors_in(shape: Shape) -> Middleware:
    """A middleware that turns what handlers raise into answers, as long as nothing of another was sent."""

    @web.middleware
    async def answer_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        except GatewayError as error:
            return _unless_begun(request, error, shape)
        except web.HTTPRequestEntityTooLarge as error:
            return error_response(TooLargeError(error.text or error.reason), shape)
        except web.HTTPException as error:
            return _response(error.status, InvalidRequestError(error.reason), shape)
        except RequestPayloadError as error:
            return error_response(InvalidRequestError(f"the request body cannot be read: {error}"), shape)
        except Exception:
            if caller_left(request):
                return web.Response(status=499)  # for the books; it goes nowhere
            if request.writer.output_size > 0:
                raise  # aiohttp logs it and breaks the connection, so that half an answer is seen as such
            _LOG.exception("failed to answer %s %s", request.method, request.path)
            return error_response(
                InternalError("the gateway failed to answer; its log has the reason"), shape
            )

    return answer_errors


errors_as_json = errors_in(triton_shape)
"""Errors as Triton writes them."""


def _unless_begun(request: web.Request, error: GatewayError, shape: Shape) -> web.Response:
    if request.writer.output_size > 0 and request.transport is not None:
        # Half an answer must not look like a whole one.
        _LOG.warning("%s %s broke off: %s", request.method, request.path, error.message)
        request.transport.abort()
    return error_response(error, shape)


def _response(status: int, error: GatewayError, shape: Shape) -> web.Response:
    response = web.Response(
        status=status,
        body=shape(status, error),
        content_type="application/json",
        headers=error_headers(error),
    )
    if isinstance(error, DrainingError):
        response.force_close()  # the next try must reach another replica
    return response

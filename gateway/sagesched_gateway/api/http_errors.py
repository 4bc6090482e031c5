"""How the HTTP face reports a failure: `{"error": "..."}` as Triton does, with a stable word in a header."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

from aiohttp import web

from sagesched_gateway.api.generate_json import to_bytes
from sagesched_gateway.api.status_codes import http_status
from sagesched_gateway.errors import GatewayError, InternalError

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

ERROR_HEADER = "x-sagesched-error"
"""Carries the error's stable word, where the error is not an answer of Triton's HTTP face passed on."""

_RETRY_AFTER_S = 1
_LOG = logging.getLogger(__name__)


def error_body(message: str) -> bytes:
    """The JSON body of an error."""
    return to_bytes({"error": message})


def error_response(error: GatewayError) -> web.Response:
    """The whole answer for an error found before anything was sent."""
    status = http_status(error)
    headers = {ERROR_HEADER: error.word}
    if status == 503:
        headers["Retry-After"] = str(_RETRY_AFTER_S)
    return _json_error(status, error.message, headers)


def caller_left(request: web.Request) -> bool:
    """Whether the connection is gone, so that nobody can be told anything."""
    return request.transport is None or request.transport.is_closing()


@web.middleware
async def errors_as_json(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn errors raised by a handler into answers, as long as nothing of another answer was sent."""
    try:
        return await handler(request)
    except GatewayError as error:
        return error_response(error)
    except web.HTTPException as error:
        return _json_error(error.status, error.reason, {})
    except Exception:
        if caller_left(request):
            return web.Response(status=499)  # for the books; it goes nowhere
        if request.writer.output_size > 0:
            raise  # aiohttp logs it and breaks the connection, so that half an answer is seen as such
        _LOG.exception("failed to answer %s %s", request.method, request.path)
        return error_response(InternalError("the gateway failed to answer; its log has the reason"))


def _json_error(status: int, message: str, headers: dict[str, str]) -> web.Response:
    return web.Response(
        status=status, body=error_body(message), content_type="application/json", headers=headers
    )

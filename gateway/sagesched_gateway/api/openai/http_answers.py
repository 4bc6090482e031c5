"""What every answer of `/v1` has: a request id, and OpenAI's shape of an error."""

from __future__ import annotations

import re
import uuid

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler

from sagesched_gateway.api.http_face.errors import errors_in
from sagesched_gateway.api.json_form.generate import to_bytes
from sagesched_gateway.api.openai.error_answer import as_openai_tells, error_object
from sagesched_gateway.errors import GatewayError

REQUEST_ID = web.RequestKey("request_id", str)
REQUEST_ID_HEADER = "x-request-id"
RETRY_HEADER = "x-should-retry"
_ACCEPTED_ID = re.compile(r"[!-~]{1,128}")


@web.middleware
async def request_ids(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Give each request an id: its own where it brings a sensible one."""
    given = request.headers.get(REQUEST_ID_HEADER, "")
    request[REQUEST_ID] = given if _ACCEPTED_ID.fullmatch(given) else f"req-{uuid.uuid4().hex}"
    return await handler(request)


async def add_headers(request: web.Request, response: web.StreamResponse) -> None:
    """Tell the request's id, and not to try again where that is of no use (a signal, before headers go)."""
    if REQUEST_ID in request:
        response.headers[REQUEST_ID_HEADER] = request[REQUEST_ID]
    if response.status >= 500 and hdrs.RETRY_AFTER not in response.headers:
        # OpenAI's own clients heed it; left to themselves they repeat every 5xx.
        response.headers[RETRY_HEADER] = "false"


@web.middleware
async def told_as_openai(request: web.Request, handler: Handler) -> web.StreamResponse:
    """See `as_openai_tells`."""
    try:
        return await handler(request)
    except GatewayError as error:
        raise as_openai_tells(error) from error


def openai_shape(status: int, error: GatewayError) -> bytes:
    """See `http_face.errors.Shape`."""
    return to_bytes(error_object(status, error))


MIDDLEWARES = (request_ids, errors_in(openai_shape), told_as_openai)

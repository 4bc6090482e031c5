"""How this face reports a failure: `{"error": {"message", "type", "param", "code"}}`. Pure.

`code` is the error's stable word, except for the two that OpenAI clients know by name.
"""

from __future__ import annotations

import re

from sagesched_gateway.api.json_form.tensors import Json
from sagesched_gateway.errors import (
    GatewayError,
    InvalidRequestError,
    NeverFitsError,
    UnknownModelError,
    UpstreamError,
)

MODEL_NOT_FOUND = "model_not_found"
CONTEXT_LENGTH_EXCEEDED = "context_length_exceeded"

_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    429: "rate_limit_error",
    503: "service_unavailable",
}
_TOO_LONG = re.compile(
    r"exceeds? (the )?(maximum )?(input|sequence|context|prompt) length"
    r"|max_seq_len|max_num_tokens|max_input_len|maximum context length|longer than the maximum model length",
    re.IGNORECASE,
)
_PARAMS = {"json_schema": "response_format", "temperature 0": "temperature", "the prompt": "prompt"}
"""Fields that profiles know by another name."""


def as_openai_tells(error: GatewayError) -> GatewayError:
    """The error to report: a prompt that is too long is the caller's fault, whatever Triton calls it."""
    is_too_long = isinstance(error, UpstreamError) and _TOO_LONG.search(error.message)
    return NeverFitsError(error.message) if is_too_long else error


def error_object(status: int, error: GatewayError) -> dict[str, Json]:
    """The body, or the last event of a stream.

    Args:
        status: the HTTP status that goes, or would go, with it.
        error: as `as_openai_tells` gives it.
    """
    kind = _TYPES.get(status, "server_error" if status >= 500 else "invalid_request_error")
    told = {"message": error.message, "type": kind, "param": _param(error), "code": _code(status, error)}
    return {"error": told}


def _code(status: int, error: GatewayError) -> str:
    if isinstance(error, NeverFitsError):
        return CONTEXT_LENGTH_EXCEEDED
    if isinstance(error, UnknownModelError) or (isinstance(error, UpstreamError) and status == 404):
        return MODEL_NOT_FOUND
    return error.word


def _param(error: GatewayError) -> str | None:
    if isinstance(error, UnknownModelError):
        return "model"
    field = error.field if isinstance(error, InvalidRequestError) else None
    return _PARAMS.get(field, field) if field is not None else None

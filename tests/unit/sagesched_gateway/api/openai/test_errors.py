"""Every error in OpenAI's shape."""

from __future__ import annotations

import pytest

from sagesched_gateway.api.openai.error_answer import as_openai_tells, error_object
from sagesched_gateway.api.status_codes import http_status
from sagesched_gateway.errors import (
    DrainingError,
    GatewayError,
    InternalError,
    InvalidRequestError,
    NeverFitsError,
    QueueFullError,
    UnknownModelError,
    UnsupportedError,
    UpstreamError,
)


def told(error: GatewayError) -> tuple[int, dict[str, object]]:
    error = as_openai_tells(error)
    status = http_status(error)
    return status, error_object(status, error)["error"]


def all_errors(root: type[GatewayError] = GatewayError) -> list[type[GatewayError]]:
    return [root, *(cls for child in root.__subclasses__() for cls in all_errors(child))]


@pytest.mark.parametrize("cls", all_errors())
def test_every_error_has_the_four_members(cls):
    status, error = told(cls("what happened"))
    assert 400 <= status < 600
    assert error.keys() == {"message", "type", "param", "code"}
    assert error["type"]
    assert error["code"]


@pytest.mark.parametrize(
    ("error", "status", "kind", "param", "code"),
    [
        (InvalidRequestError("x", field="top_p"), 400, "invalid_request_error", "top_p", "invalid-request"),
        (
            UnsupportedError("x", field="json_schema"),
            400,
            "invalid_request_error",
            "response_format",
            "unsupported",
        ),
        (UnknownModelError("x"), 404, "invalid_request_error", "model", "model_not_found"),
        (UpstreamError("x", code="NOT_FOUND"), 404, "invalid_request_error", None, "model_not_found"),
        (NeverFitsError("x"), 400, "invalid_request_error", None, "context_length_exceeded"),
        (QueueFullError("x"), 503, "service_unavailable", None, "queue-full"),
        (QueueFullError("x", code="RESOURCE_EXHAUSTED"), 429, "rate_limit_error", None, "queue-full"),
        (DrainingError("x"), 503, "service_unavailable", None, "draining"),
        (UpstreamError("x", code="INTERNAL"), 500, "server_error", None, "upstream-error"),
        (InternalError("x"), 500, "server_error", None, "internal"),
    ],
)
def test_the_map(error, status, kind, param, code):
    assert told(error) == (status, {"message": "x", "type": kind, "param": param, "code": code})


@pytest.mark.parametrize(
    "text",
    [
        "Prompt length (5000) exceeds maximum input length (4096).",
        "prompt length + max_new_tokens exceeds max_seq_len",
        "The decoder prompt (length 9000) is longer than the maximum model length of 8192.",
        "This model's maximum context length is 8192 tokens.",
    ],
)
@pytest.mark.parametrize("code", ["INTERNAL", "INVALID_ARGUMENT"])
def test_a_prompt_too_long_is_told_by_the_engines_words(text, code):
    status, error = told(UpstreamError(text, code=code))
    assert (status, error["code"], error["message"]) == (400, "context_length_exceeded", text)

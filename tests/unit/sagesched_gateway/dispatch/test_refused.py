"""Each refusal of the core becomes the error that its callers know."""

from __future__ import annotations

import pytest

from sagesched_gateway.api.grpc_face.passthrough import trailing_metadata
from sagesched_gateway.api.http_face.errors import error_headers
from sagesched_gateway.api.status_codes import grpc_code, http_status
from sagesched_gateway.dispatch.refused import error_of
from sagesched_gateway.scheduling.commands import Reject
from sagesched_gateway.scheduling.deadlines import GIVEN_UP, TOO_LATE
from sagesched_gateway.scheduling.drain import LEFT_BEHIND
from sagesched_gateway.scheduling.overload import OVERLOADED
from sagesched_gateway.scheduling.refusals import NEVER_FITS


@pytest.mark.parametrize(
    ("reason", "word", "code", "status"),
    [
        (NEVER_FITS, "never-fits", "INVALID_ARGUMENT", 400),
        (TOO_LATE, "deadline-unreachable", "UNAVAILABLE", 503),
        (GIVEN_UP, "deadline-exceeded", "DEADLINE_EXCEEDED", 504),
        (OVERLOADED, "overloaded", "RESOURCE_EXHAUSTED", 429),
        (LEFT_BEHIND, "draining", "UNAVAILABLE", 503),
        ("something new", "internal", "INTERNAL", 500),
    ],
)
def test_the_map(reason, word, code, status):
    error = error_of(Reject("a", reason, "what happened"), "RESOURCE_EXHAUSTED")
    assert error.word == word
    assert "what happened" in error.message
    assert (grpc_code(error).name, http_status(error)) == (code, status)


def test_when_to_come_again_is_told_in_seconds_and_in_milliseconds():
    error = error_of(Reject("a", OVERLOADED, "too much", retry_after_s=12.3456), "UNAVAILABLE")
    assert dict(trailing_metadata(error)) == {
        "x-sagesched-error": "overloaded",
        "retry-after": "13",
        "retry-after-ms": "12346",
    }
    headers = error_headers(error)
    assert (headers["Retry-After"], headers["retry-after-ms"]) == ("13", "12346")


def test_the_probability_is_told_and_no_time_to_come_again():
    error = error_of(Reject("a", TOO_LATE, "hopeless", probability=0.1234), "UNAVAILABLE")
    assert dict(trailing_metadata(error)) == {
        "x-sagesched-error": "deadline-unreachable",
        "x-sagesched-probability": "0.123",
    }
    assert error_headers(error)["x-sagesched-probability"] == "0.123"
    assert "Retry-After" not in error_headers(error)

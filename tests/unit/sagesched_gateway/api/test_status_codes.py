"""Every error has a word, a remedy and a code on both protocols."""

from __future__ import annotations

import grpc
import pytest

from sagesched_gateway.api.status_codes import grpc_code, http_status
from sagesched_gateway.errors import (
    DeadlineError,
    DrainingError,
    GatewayError,
    InternalError,
    InvalidRequestError,
    NeverFitsError,
    StoppedError,
    UpstreamError,
    UpstreamUnavailableError,
)
from sagesched_gateway.request import MissingInputError, OutOfReachError, StopOrderError


def all_errors(root: type[GatewayError] = GatewayError) -> list[type[GatewayError]]:
    return [root, *(cls for child in root.__subclasses__() for cls in all_errors(child))]


@pytest.mark.parametrize("cls", all_errors())
def test_no_error_is_without_a_word_a_remedy_and_codes(cls):
    error = cls("what happened")
    assert error.word
    assert error.word == error.word.lower().replace(" ", "-")
    assert error.remedy.endswith(".")
    assert grpc_code(error) is not grpc.StatusCode.OK
    assert 400 <= http_status(error) < 600
    assert str(error) == error.message


def test_words_differ():
    special_cases = (MissingInputError, OutOfReachError, StopOrderError)
    words = [cls.word for cls in all_errors() if cls not in special_cases]
    assert len(words) == len(set(words))


@pytest.mark.parametrize(
    ("cls", "code", "status"),
    [
        (InvalidRequestError, "INVALID_ARGUMENT", 400),
        (NeverFitsError, "INVALID_ARGUMENT", 400),
        (DeadlineError, "DEADLINE_EXCEEDED", 504),
        (StoppedError, "CANCELLED", 499),
        (DrainingError, "UNAVAILABLE", 503),
        (UpstreamUnavailableError, "UNAVAILABLE", 503),
        (InternalError, "INTERNAL", 500),
    ],
)
def test_the_map(cls, code, status):
    assert grpc_code(cls("x")).name == code
    assert http_status(cls("x")) == status


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("NOT_FOUND", 404),
        ("INTERNAL", 500),
        ("UNAVAILABLE", 503),
        ("UNIMPLEMENTED", 501),
        ("INVALID_ARGUMENT", 400),
        ("ALREADY_EXISTS", 400),
        ("NO_SUCH_CODE", 500),
    ],
)
def test_tritons_own_codes_are_kept_and_mapped_as_triton_maps_them(code, status):
    error = UpstreamError("x", code=code)
    assert grpc_code(error).name == (code if code != "NO_SUCH_CODE" else "UNKNOWN")
    assert http_status(error) == status

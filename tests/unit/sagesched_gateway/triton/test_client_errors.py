"""Failures of Triton in the gateway's words."""

from __future__ import annotations

import pytest

from sagesched_gateway.errors import UpstreamError, UpstreamUnavailableError
from sagesched_gateway.triton.client import in_band_error


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("Request for unknown model: 'x' is not found", "NOT_FOUND"),
        ("[request id: 1] expected 2 inputs but got 1 inputs for model 'x'", "INVALID_ARGUMENT"),
    ],
)
def test_errors_inside_the_stream_get_a_code_by_their_text(text, code):
    error = in_band_error(text)
    assert isinstance(error, UpstreamError)
    assert (error.message, error.code, error.in_band) == (text, code, True)


@pytest.mark.parametrize(
    "text",
    [
        "GRPC server is shutting down and has stopped accepting new requests.",
        "Request for unknown model: 'x' version 1 is not at ready state",
        "Exceeds maximum queue size",
    ],
)
def test_passing_troubles_are_told_apart(text):
    assert isinstance(in_band_error(text), UpstreamUnavailableError)

"""Failures of Triton in the gateway's words."""

from __future__ import annotations

import grpc
import grpc.aio
import pytest
from grpc.aio import Metadata

from sagesched_gateway.errors import UpstreamError, UpstreamUnavailableError
from sagesched_gateway.triton.client import TritonClient, in_band_error


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


@pytest.mark.parametrize(
    ("code", "details"),
    [
        ("UNAVAILABLE", "failed to connect to all addresses"),
        ("UNAVAILABLE", "Stream removed (recvmsg:Connection reset by peer (104))"),
        ("INTERNAL", "Internal error from Core"),
    ],
)
async def test_a_connection_that_broke_is_told_as_such(code, details):
    client = TritonClient("127.0.0.1:1")
    failure = grpc.aio.AioRpcError(grpc.StatusCode[code], Metadata(), Metadata(), details=details)
    error = client.error_of(failure)
    assert isinstance(error, UpstreamUnavailableError)
    assert error.message == f"cannot reach Triton at 127.0.0.1:1 ({details})"
    await client.close()

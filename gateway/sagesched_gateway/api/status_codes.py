"""The only map from the gateway's errors to gRPC status codes and HTTP statuses.

HTTP follows Triton's own front end (INTERNAL 500, NOT_FOUND 404, UNAVAILABLE 503, UNIMPLEMENTED 501, any
other 400), so that a client sees the status it would see without a gateway. A unit test walks all error
classes.
"""

from __future__ import annotations

import grpc

from sagesched_gateway.errors import (
    DeadlineError,
    DeadlineUnreachableError,
    DrainingError,
    ForbiddenError,
    GatewayError,
    IdleStreamError,
    InternalError,
    InvalidRequestError,
    NeverFitsError,
    QueueFullError,
    SlowReaderError,
    StoppedError,
    TooLargeError,
    UnknownModelError,
    UpstreamError,
    UpstreamUnavailableError,
)

_GRPC: dict[type[GatewayError], grpc.StatusCode] = {
    GatewayError: grpc.StatusCode.UNKNOWN,
    InvalidRequestError: grpc.StatusCode.INVALID_ARGUMENT,
    TooLargeError: grpc.StatusCode.RESOURCE_EXHAUSTED,
    UnknownModelError: grpc.StatusCode.NOT_FOUND,
    ForbiddenError: grpc.StatusCode.PERMISSION_DENIED,
    SlowReaderError: grpc.StatusCode.ABORTED,
    IdleStreamError: grpc.StatusCode.ABORTED,
    NeverFitsError: grpc.StatusCode.INVALID_ARGUMENT,
    DeadlineError: grpc.StatusCode.DEADLINE_EXCEEDED,
    DeadlineUnreachableError: grpc.StatusCode.UNAVAILABLE,
    StoppedError: grpc.StatusCode.CANCELLED,
    DrainingError: grpc.StatusCode.UNAVAILABLE,
    UpstreamUnavailableError: grpc.StatusCode.UNAVAILABLE,
    InternalError: grpc.StatusCode.INTERNAL,
}

_HTTP: dict[grpc.StatusCode, int] = {
    grpc.StatusCode.INTERNAL: 500,
    grpc.StatusCode.UNKNOWN: 500,
    grpc.StatusCode.NOT_FOUND: 404,
    grpc.StatusCode.UNAVAILABLE: 503,
    grpc.StatusCode.UNIMPLEMENTED: 501,
    grpc.StatusCode.DEADLINE_EXCEEDED: 504,
    grpc.StatusCode.RESOURCE_EXHAUSTED: 429,
    grpc.StatusCode.PERMISSION_DENIED: 403,
    grpc.StatusCode.UNAUTHENTICATED: 401,
    grpc.StatusCode.CANCELLED: 499,
}


def grpc_code(error: GatewayError) -> grpc.StatusCode:
    """The gRPC status code of an error; Triton's own code where Triton gave one."""
    if isinstance(error, UpstreamError | QueueFullError):
        return grpc.StatusCode.__members__.get(error.code, grpc.StatusCode.UNKNOWN)
    for cls in type(error).__mro__:
        if cls in _GRPC:
            return _GRPC[cls]
    return grpc.StatusCode.UNKNOWN


def http_status(error: GatewayError) -> int:
    """The HTTP status of an error; 400 for any code that Triton's front end does not single out."""
    if isinstance(error, TooLargeError):
        return 413
    return _HTTP.get(grpc_code(error), 400)

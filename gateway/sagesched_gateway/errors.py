"""The gateway's errors, drawn as a tree. Anything else that is raised is a defect of ours.

    GatewayError
    ├── InvalidRequestError        the caller's request cannot be read              invalid-request
    ├── NeverFitsError             it is larger than the engine, whatever we wait   never-fits
    ├── DeadlineError              the caller's deadline has passed                 deadline-exceeded
    ├── StoppedError               another request of the caller stopped it         stopped
    ├── DrainingError              this gateway is shutting down                    draining
    ├── UpstreamUnavailableError   Triton cannot be reached or is full              upstream-unavailable
    ├── UpstreamError              Triton answered with an error, kept verbatim     upstream-error
    └── InternalError              our own fault                                    internal

Each class has a stable word (for logs, metrics and error bodies) and a remedy (for people). Codes of gRPC and
HTTP are given in one place only: `sagesched_gateway.api.status_codes`.
"""

from __future__ import annotations

from typing import ClassVar


class GatewayError(Exception):
    """Base of all errors a client may see.

    Attributes:
        word: stable kebab-case word of the class.
        remedy: what the reader can do, one sentence.
        message: what happened, one sentence.
    """

    word: ClassVar[str] = "gateway-error"
    remedy: ClassVar[str] = "Look into the gateway's log."

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class InvalidRequestError(GatewayError):
    """The request lacks a tensor the model needs, or a tensor cannot be read."""

    word = "invalid-request"
    remedy = "Compare the request's tensors with the model's metadata."


class NeverFitsError(GatewayError):
    """Prompt plus max_tokens can never fit into the engine."""

    word = "never-fits"
    remedy = "Shorten the prompt or lower max_tokens."


class DeadlineError(GatewayError):
    """The caller's deadline passed while the request waited or ran."""

    word = "deadline-exceeded"
    remedy = "Allow more time, or add capacity."


class StoppedError(GatewayError):
    """A `stop` request with the same id ended this one before it had started."""

    word = "stopped"
    remedy = "Nothing to do: the stop was asked for."


class DrainingError(GatewayError):
    """The gateway takes no new requests because it is shutting down."""

    word = "draining"
    remedy = "Send the request again: another replica will take it."


class UpstreamUnavailableError(GatewayError):
    """Triton cannot be reached, went away, or refuses work because its queue is full."""

    word = "upstream-unavailable"
    remedy = "Look at Triton's log and readiness, then send the request again."


class UpstreamError(GatewayError):
    """Triton answered with an error.

    Attributes:
        code: name of the gRPC status code, for example `INVALID_ARGUMENT`.
        in_band: True where Triton reported it inside the stream before the request was queued there; such
            errors
            stay inside the stream even for clients that ask for gRPC status codes.
    """

    word = "upstream-error"
    remedy = "The message is Triton's own: look at the model's documentation and Triton's log."

    def __init__(self, message: str, *, code: str = "UNKNOWN", in_band: bool = False) -> None:
        super().__init__(message)
        self.code = code
        self.in_band = in_band


class InternalError(GatewayError):
    """A defect of the gateway."""

    word = "internal"
    remedy = "Report it together with the gateway's log."

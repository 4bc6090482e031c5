"""The gateway's errors, drawn as a tree. Anything else that is raised is a defect of ours.

    GatewayError
    ├── InvalidRequestError        the caller's request cannot be read              invalid-request
    │   ├── TooLargeError          it is larger than the limits allow               too-large
    │   └── UnsupportedError       it asks for what the model's kind cannot do      unsupported
    ├── UnknownModelError          no text model bears that name                    unknown-model
    ├── ForbiddenError             a management call that is not allowed here       forbidden
    ├── QueueFullError             more waits here than the limits allow            queue-full
    │   └── OverloadedError        more seconds of work wait than are allowed       overloaded
    ├── SlowReaderError            the caller does not take its answer              slow-reader
    ├── IdleStreamError            the caller's stream was not used                 idle-stream
    ├── NeverFitsError             it is larger than the engine, whatever we wait   never-fits
    ├── DeadlineError              the caller's deadline has passed                 deadline-exceeded
    ├── DeadlineUnreachableError   it would hardly be done by the caller's deadline deadline-unreachable
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
        retry_after_s: when it may be worth another try; None where the same request fails again.
        message: what happened, one sentence.
    """

    word: ClassVar[str] = "gateway-error"
    remedy: ClassVar[str] = "Look into the gateway's log."
    retry_after_s: float | None = None

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class InvalidRequestError(GatewayError):
    """The request lacks a tensor the model needs, or a tensor cannot be read.

    Attributes:
        field: what of the request is wrong, by the caller's name; None where it cannot be told.
    """

    word = "invalid-request"
    remedy = "Compare the request's tensors with the model's metadata."

    def __init__(self, message: str, *, field: str | None = None) -> None:
        super().__init__(message)
        self.field = field


class TooLargeError(InvalidRequestError):
    """A message or its headers are beyond the configured limits."""

    word = "too-large"
    remedy = "Send less at once, or raise the gateway's limits."


class UnsupportedError(InvalidRequestError):
    """The request asks for something that models of this kind cannot do."""

    word = "unsupported"
    remedy = "Leave the named field out, or use a model that can do it."


class UnknownModelError(GatewayError):
    """No model that generates text bears this name."""

    word = "unknown-model"
    remedy = "Ask /v1/models for the names."


class ForbiddenError(GatewayError):
    """A management call of Triton that is not allowed through the gateway."""

    word = "forbidden"
    remedy = "Allow its group in the gateway's settings (admin.allow), or ask Triton inside the pod."


class QueueFullError(GatewayError):
    """More requests, or bytes, wait here than the limits allow.

    Attributes:
        code: name of the gRPC status code that is configured for this.
    """

    word = "queue-full"
    remedy = "Send the request again later, or add replicas."
    retry_after_s = 1.0

    def __init__(
        self, message: str, *, code: str = "UNAVAILABLE", retry_after_s: float | None = None
    ) -> None:
        super().__init__(message)
        self.code = code
        if retry_after_s is not None:
            self.retry_after_s = retry_after_s


class OverloadedError(QueueFullError):
    """More predicted seconds of work wait here than the limits allow."""

    word = "overloaded"
    remedy = "Send the request again when told to, or add replicas."


class SlowReaderError(GatewayError):
    """The caller did not take its answer for too long, or let too much of it pile up."""

    word = "slow-reader"
    remedy = "Read the answer as it comes."


class IdleStreamError(GatewayError):
    """A stream without requests was ended."""

    word = "idle-stream"
    remedy = "Open a new stream for the next request."


class NeverFitsError(GatewayError):
    """Prompt plus max_tokens can never fit into the engine."""

    word = "never-fits"
    remedy = "Shorten the prompt or lower max_tokens."


class DeadlineError(GatewayError):
    """The caller's deadline passed while the request waited or ran."""

    word = "deadline-exceeded"
    remedy = "Allow more time, or add capacity."


class DeadlineUnreachableError(GatewayError):
    """The request would be done by its deadline with too small a probability, and was refused at the door.

    Attributes:
        probability: to be done in time, as predicted; None where it was not told.
    """

    word = "deadline-unreachable"
    remedy = "Allow more time, ask for fewer tokens, or add capacity."

    def __init__(self, message: str, *, probability: float | None = None) -> None:
        super().__init__(message)
        self.probability = probability


class StoppedError(GatewayError):
    """A `stop` request with the same id ended this one before it had started."""

    word = "stopped"
    remedy = "Nothing to do: the stop was asked for."


class DrainingError(GatewayError):
    """The gateway takes no new requests because it is shutting down."""

    word = "draining"
    remedy = "Send the request again: another replica will take it."
    retry_after_s = 1.0


class UpstreamUnavailableError(GatewayError):
    """Triton cannot be reached, went away, or refuses work because its queue is full."""

    word = "upstream-unavailable"
    remedy = "Look at Triton's log and readiness, then send the request again."
    retry_after_s = 1.0


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

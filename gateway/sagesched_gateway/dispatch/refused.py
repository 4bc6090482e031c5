"""From the core's refusals to the errors that callers see."""

from __future__ import annotations

from sagesched_gateway.errors import (
    DeadlineError,
    DeadlineUnreachableError,
    DrainingError,
    GatewayError,
    InternalError,
    NeverFitsError,
    OverloadedError,
)
from sagesched_gateway.scheduling.commands import Reject
from sagesched_gateway.scheduling.deadlines import GIVEN_UP, TOO_LATE
from sagesched_gateway.scheduling.drain import LEFT_BEHIND
from sagesched_gateway.scheduling.overload import OVERLOADED
from sagesched_gateway.scheduling.refusals import NEVER_FITS


def error_of(reject: Reject, full_code: str) -> GatewayError:
    """The error of a refusal; `full_code` names the gRPC code configured for refusals in overload."""
    match reject.reason:
        case reason if reason == NEVER_FITS:
            return NeverFitsError(reject.detail)
        case reason if reason == TOO_LATE:
            return DeadlineUnreachableError(reject.detail, probability=reject.probability)
        case reason if reason == GIVEN_UP:
            return DeadlineError(reject.detail)
        case reason if reason == OVERLOADED:
            return OverloadedError(reject.detail, code=full_code, retry_after_s=reject.retry_after_s)
        case reason if reason == LEFT_BEHIND:
            return DrainingError(reject.detail)
        case reason:
            return InternalError(f"{reason}: {reject.detail}")

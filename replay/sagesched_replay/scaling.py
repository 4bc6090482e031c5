"""The same requests in the same order, faster or slower, and what names a trace."""

from __future__ import annotations

import hashlib
import math
from dataclasses import replace

from sagesched_emulator.trace import Trace
from sagesched_replay.formats.text import DIGEST_LENGTH


def faster(trace: Trace, factor: float) -> Trace:
    """The trace with `factor` times its rate of arrivals, every gap shrunk alike.

    Raises:
        ValueError: the factor is not a number above 0.
    """
    if not (math.isfinite(factor) and factor > 0):
        raise ValueError(f"the rate must be scaled by a number above 0, got {factor}")
    if factor == 1.0:
        return trace
    return replace(
        trace,
        requests=tuple(replace(one, arrival_s=one.arrival_s / factor) for one in trace.requests),
        rho=trace.rho * factor,
        span_s=trace.span_s / factor,
    )


def at_load(trace: Trace, rho: float) -> Trace:
    """The trace at that load; one whose requests all arrive at once has none and stays as it is.

    Raises:
        ValueError: `rho` is not a number above 0.
    """
    if not (math.isfinite(rho) and rho > 0):
        raise ValueError(f"rho must be above 0, got {rho}")
    return trace if math.isnan(trace.rho) else faster(trace, rho / trace.rho)


def trace_digest(trace: Trace) -> str:
    """First hexadecimal digits of a SHA-256 of all that decides a run, to the bit."""
    digest = hashlib.sha256()
    for one in trace.requests:
        known = "" if one.known is None else f"{one.known.tokens.tolist()}{one.known.weights.tolist()}"
        line = f"{one.arrival_s!r},{one.prompt_tokens},{one.max_tokens},{one.output_tokens},{known}\n"
        if one.tenant or one.priority or one.deadline_s is not None:
            line += f"{one.tenant!r},{one.priority},{one.deadline_s!r}\n"
        digest.update(line.encode())
    return digest.hexdigest()[:DIGEST_LENGTH]

"""The end of a pod, in seconds: hooks, Triton's exit and the grace period follow from `spec.drain`.

preStop hooks of all containers run at once when a pod is deleted; SIGTERM reaches Triton after its hook, and
a native sidecar only once Triton has exited. So the gateway drains in its hook, and Triton's waits for that:

    settle + parting (clients find other pods) + drain.maxSeconds + stopping | Triton's exit | gateway's exit
"""

from __future__ import annotations

import math

from sagesched_operator.api.pool import Pool

SETTLE_S = 5
"""Endpoints need some seconds to hear that a pod goes; until then the gateway still takes requests."""

LONGEST_AGE_AWAITED_S = 120
"""Where connections get older, a pod that goes does not wait for their age."""

_JITTER = 1.1
"""Of the age; gRPC's."""

_STOPPING_S = 5
TRITON_EXIT_S = 15
"""Nothing is in flight by then."""

_GATEWAY_EXIT_S = 10


def parting_seconds(pool: Pool) -> int:
    """Longest wait until clients have left by the age of their connections; shorter where none is left."""
    age_s = pool.spec.gateway.connection_age_seconds
    return math.ceil(_JITTER * age_s) if age_s <= LONGEST_AGE_AWAITED_S else 0


def hook_seconds(pool: Pool) -> int:
    """Longest time that the preStop hooks may take."""
    return SETTLE_S + parting_seconds(pool) + pool.spec.drain.max_seconds + _STOPPING_S


def grace_seconds(pool: Pool) -> int:
    """The pod's grace period."""
    return hook_seconds(pool) + TRITON_EXIT_S + _GATEWAY_EXIT_S

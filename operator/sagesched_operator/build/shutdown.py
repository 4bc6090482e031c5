"""The end of a pod, in seconds: hooks, Triton's exit and the grace period follow from `spec.drain`.

preStop hooks of all containers run at once when a pod is deleted; SIGTERM reaches Triton after its hook, and
a native sidecar only once Triton has exited. So the gateway drains in its hook, and Triton's waits for that:

    settle (clients learn that the pod goes) + drain.maxSeconds + stopping | Triton's exit | gateway's exit
"""

from __future__ import annotations

from sagesched_operator.api.pool import Pool

SETTLE_S = 5
"""Endpoints need some seconds to hear that a pod goes; until then the gateway still takes requests."""

_STOPPING_S = 5
TRITON_EXIT_S = 15
"""Nothing is in flight by then."""

_GATEWAY_EXIT_S = 10


def hook_seconds(pool: Pool) -> int:
    """Longest time that the preStop hooks may take."""
    return SETTLE_S + pool.spec.drain.max_seconds + _STOPPING_S


def grace_seconds(pool: Pool) -> int:
    """The pod's grace period."""
    return hook_seconds(pool) + TRITON_EXIT_S + _GATEWAY_EXIT_S

"""`GatewayReadiness`: whether this gateway should be given work."""

from __future__ import annotations

from sagesched_gateway.triton.watch import TritonWatch


class GatewayReadiness:
    """See `Readiness`."""

    def __init__(self, watch: TritonWatch) -> None:
        self._watch = watch
        self._is_draining = False

    def start_draining(self) -> None:
        """From now on this gateway should be given no work."""
        self._is_draining = True

    @property
    def is_ready(self) -> bool:
        """Triton was ready when last asked, and nobody wants us to end."""
        return not self._is_draining and not self._watch.problem

    @property
    def is_draining(self) -> bool:
        """Shutting down."""
        return self._is_draining

    @property
    def reason(self) -> str:
        """Why it is not ready."""
        return "the gateway is shutting down" if self._is_draining else self._watch.problem

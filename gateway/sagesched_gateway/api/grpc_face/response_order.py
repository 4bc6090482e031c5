"""`ResponseOrder`: on one stream Triton answers requests to non-decoupled models in the order they were sent.

The gateway may finish them in another order; what comes too early is held back here. Decoupled models
interleave.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable


class ResponseOrder:
    """Passes on at once what has no turn to wait for, the rest in the order of `begin`."""

    def __init__(self, send: Callable[[bytes], None]) -> None:
        self._send = send
        self._held: dict[Hashable, list[bytes]] = {}  # in order of `begin`; the first one is never held back
        self._over: set[Hashable] = set()

    def begin(self, request: Hashable) -> None:
        """The request's responses come after those of all that began before."""
        self._held[request] = []

    def put(self, request: Hashable | None, message: bytes) -> None:
        """A message for a request."""
        if request in self._held and request != next(iter(self._held)):
            self._held[request].append(message)
        else:
            self._send(message)

    def end(self, request: Hashable) -> None:
        """The request has no more messages."""
        if request not in self._held:
            return
        self._over.add(request)
        while self._held and (first := next(iter(self._held))) in self._over:
            self._over.discard(first)
            del self._held[first]
            if self._held:
                following = next(iter(self._held))
                for message in self._held[following]:
                    self._send(message)
                self._held[following] = []

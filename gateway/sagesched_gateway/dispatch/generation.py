"""`Generation`: one request from the caller's side, as an async iterator of responses.

The pump that reads Triton never waits for a slow caller: it puts responses here and goes on, so that the
engine's place is given back the moment the engine is done. The box is bounded by the answer itself
(max_tokens chunks).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Protocol

from sagesched_gateway.errors import GatewayError
from sagesched_gateway.kserve import ModelInferResponse, ModelStreamInferResponse
from sagesched_predictor.distribution import LengthDistribution


class Listener(Protocol):
    """Takes responses as they come, on the event loop; must not wait, raise, or close generations."""

    def responded(self, generation: Generation, response: ModelInferResponse | bytes) -> None:
        """A response for the caller; as bytes it is a whole ModelStreamInferResponse."""

    def ended(self, generation: Generation, error: GatewayError | None) -> None:
        """Nothing more will come."""


class Generation:
    """One request: iterate it for its responses, `aclose` it when the caller is gone.

    Iteration raises a `GatewayError` where the request ends badly. With a `listener` responses go there
    instead (one task can then serve many requests) and the object is not iterated.

    Attributes:
        client_id: the caller's id of the request.
        model: the model's name.
        queue_s: seconds it waited here; None until it was sent to the engine.
        ttft_s: seconds from arrival to the first token; None until then.
        output_tokens: tokens generated so far, also those after its end.
        num_responses: handed to the caller so far.
        predicted: distribution of its output length, once predicted.
        is_ended: nothing more will come.
    """

    __slots__ = (
        "_box",
        "_close",
        "_error",
        "_listener",
        "_waiter",
        "client_id",
        "is_ended",
        "model",
        "num_responses",
        "output_tokens",
        "predicted",
        "queue_s",
        "ttft_s",
    )

    def __init__(
        self, *, client_id: str, model: str, close: Callable[[], None], listener: Listener | None = None
    ) -> None:
        self.client_id = client_id
        self.model = model
        self.queue_s: float | None = None
        self.ttft_s: float | None = None
        self.num_responses = 0
        self.output_tokens = 0
        self.predicted: LengthDistribution | None = None
        self.is_ended = False
        self._box: deque[ModelInferResponse | bytes] = deque()
        self._error: GatewayError | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._close = close
        self._listener = listener

    def __aiter__(self) -> Generation:
        return self

    async def __anext__(self) -> ModelInferResponse:
        while not self._box:
            if self.is_ended:
                if self._error is not None:
                    raise self._error
                raise StopAsyncIteration
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        response = self._box.popleft()
        if isinstance(response, bytes):
            return ModelStreamInferResponse.FromString(response).infer_response
        return response

    async def aclose(self) -> None:
        """The caller is gone: forget the request, or really cancel it in the engine when it runs."""
        self.close()

    def close(self) -> None:
        """As `aclose`, without waiting for anything."""
        if not self.is_ended:
            self._close()

    def respond(self, response: ModelInferResponse | bytes) -> None:
        """Hand a response to the caller (dispatch's side), in either form of `Chunk.response`."""
        if self.is_ended:
            return
        self.num_responses += 1
        if self._listener is not None:
            self._listener.responded(self, response)
            return
        self._box.append(response)
        self._wake()

    def end(self, error: GatewayError | None = None) -> None:
        """Nothing more will come (dispatch's side); later calls are ignored."""
        if self.is_ended:
            return
        self.is_ended = True
        self._error = error
        if self._listener is not None:
            self._listener.ended(self, error)
            return
        self._wake()

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

"""`CallAttributes`: what a gRPC caller says about the requests of one call, and what it is told back.

Words in the metadata are for all requests of a stream, those in a request's parameters for that request, and
win. They are believed from trusted networks only; a report of the queue time is for everybody. Parameters of
the gateway's own are taken out of the message either way.
"""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import unquote

from sagesched_gateway.api.attributes import (
    PREDICTED_P50,
    PREDICTED_P90,
    PRIVATE_PREFIX,
    QUEUE_TIME,
    REPORT,
    AttributeReader,
    read_attributes,
    take_private,
)
from sagesched_gateway.api.grpc_face.passthrough import CallContext
from sagesched_gateway.dispatch.generation import Generation
from sagesched_gateway.kserve import ModelInferRequest, ModelInferResponse
from sagesched_gateway.request import Attributes

Words = list[tuple[str, str]]


class CallAttributes:
    """Attributes of one call's requests."""

    def __init__(self, reader: AttributeReader, context: CallContext) -> None:
        """Read the call's metadata.

        Raises:
            InvalidRequestError: a value is not allowed.
        """
        self._reader = reader
        self._is_trusted = reader.is_on and reader.trusts(host_of(context.peer()))
        self._shows_prediction = self._is_trusted and reader.exposes_prediction
        self._words = self._believed(
            (key, value)
            for key, value in context.invocation_metadata() or ()
            if isinstance(value, str) and key.startswith(PRIVATE_PREFIX)
        )
        self._common = read_attributes(self._words)

    def take(self, message: ModelInferRequest, body: bytes) -> tuple[Attributes, bytes]:
        """Attributes of a request, and its body without them; the same body where there are none.

        Raises:
            InvalidRequestError: a value is not allowed.
        """
        private = take_private(message)
        if not private:
            return self._common, body
        return read_attributes((*self._words, *self._believed(private))), message.SerializeToString()

    def report(self, generation: Generation, response: ModelInferResponse) -> None:
        """Tell in a response how long its request waited, and what was predicted where that may be told."""
        parameters = response.parameters
        parameters[QUEUE_TIME].double_param = generation.queue_s or 0.0
        if self._shows_prediction and generation.predicted is not None:
            parameters[PREDICTED_P50].int64_param = round(generation.predicted.quantile(0.5))
            parameters[PREDICTED_P90].int64_param = round(generation.predicted.quantile(0.9))

    def _believed(self, words: Iterable[tuple[str, str]]) -> Words:
        words = list(words)
        if not self._is_trusted and words:
            self._reader.ignore(name for name, _ in words)
        return [(name, value) for name, value in words if self._is_trusted or name.lower() == REPORT]


def host_of(peer: str) -> str:
    """The IP address in gRPC's name of a peer (`ipv4:10.0.0.1:5`, `ipv6:%5B::1%5D:5`)."""
    return unquote(peer).partition(":")[2].rpartition(":")[0].strip("[]")

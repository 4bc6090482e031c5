"""tritonclient's own gRPC client, one connection, a stream per request."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc.aio
import numpy as np
import tritonclient.grpc.aio as triton
from tritonclient.utils import InferenceServerException

from bed.errors import AnswerError
from bed.load import CANCELLED, Load

_PORT = 8001
_INPUTS = (
    ("text_input", "BYTES"),
    ("max_tokens", "INT32"),
    ("stream", "BOOL"),
    ("exclude_input_in_output", "BOOL"),
)
_TYPES = {"BYTES": np.object_, "INT32": np.int32, "BOOL": np.bool_}


class TritonClient:
    """A client of the pool."""

    def __init__(self, load: Load) -> None:
        """Connect lazily to the load's target."""
        # Each client a connection of its own: gRPC would share one among equal channels.
        options = [("grpc.use_local_subchannel_pool", 1)]
        self._client = triton.InferenceServerClient(f"{load.target}:{_PORT}", channel_args=options)
        self._model = load.model

    async def generate(self, id: str, prompt: str, max_tokens: int) -> AsyncIterator[str]:
        """Pieces of the answer.

        Raises:
            AnswerError: the request failed.
        """
        has_ended = False
        try:
            async for result, error in self._client.stream_infer(self._request(id, prompt, max_tokens)):
                if error is not None:
                    raise AnswerError(_in_words(error))
                response = result.get_response()
                if response.id != id:
                    raise AnswerError(f"an answer to {response.id!r}")
                text = result.as_numpy("text_output")
                if text is not None:
                    yield text.reshape(-1)[0].decode()
                has_ended = response.parameters["triton_final_response"].bool_param
        except InferenceServerException as error:
            raise AnswerError(_in_words(error)) from error
        except asyncio.CancelledError:
            # So grpc.aio tells a status CANCELLED; where nobody has cancelled us it is the server's.
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            raise AnswerError(CANCELLED) from None
        except grpc.aio.AioRpcError as error:  # tritonclient lets some through as they are
            raise AnswerError(f"{error.code().name} {error.details()}") from error
        if not has_ended:
            raise AnswerError("the stream ended before the answer did")

    async def close(self) -> None:
        """Hang up."""
        await self._client.close()

    async def _request(self, id: str, prompt: str, max_tokens: int) -> AsyncIterator[dict[str, Any]]:
        inputs = []
        for (name, datatype), value in zip(_INPUTS, (prompt.encode(), max_tokens, True, True), strict=True):
            tensor = triton.InferInput(name, [1, 1], datatype)
            tensor.set_data_from_numpy(np.array([[value]], dtype=_TYPES[datatype]))
            inputs.append(tensor)
        yield {
            "model_name": self._model,
            "inputs": inputs,
            "request_id": id,
            "enable_empty_final_response": True,
        }


def _in_words(error: InferenceServerException) -> str:
    return " ".join(f"{error.status() or ''} {error.message()}".split())

"""One real Triton with an emulated engine for all tests of a session, and clients for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import grpc
import numpy as np
import numpy.typing as npt
import pytest
from tritonclient import grpc as triton_grpc
from tritonclient.grpc import service_pb2 as messages

from sagesched_emulator.answers import write_answers
from sagesched_emulator.trace import TraceRequest
from sagesched_emulator.triton_model.repository import Layout
from sagesched_emulator.triton_server import TritonServer

ANSWER_S = 30.0
BLS = Layout(bls_instances=2)
LLMAPI = Layout(name="llmapi", decoupled=True)
LLMAPI_WHOLE = Layout(name="llmapi")
VLLM = Layout(name="vllm")


class Known(NamedTuple):
    """A prompt in the answers file."""

    prompt: str
    prompt_tokens: int
    output_tokens: tuple[int, ...]


class KnownPrompts(NamedTuple):
    """The prompts whose true lengths the engine has been told."""

    short: Known = Known("Name a colour – ärger dich nicht 🙂", 23, (12,))
    longer_than_it_looks: Known = Known("The record calls this prompt longer than it is.", 321, (4,))
    repeated: Known = Known("Draw a number.", 4, (3, 5))
    very_long: Known = Known("Never stop.", 3, (2000,))


class Chunk(NamedTuple):
    """One message of a stream."""

    response: messages.ModelInferResponse
    error: str

    @property
    def final(self) -> bool:
        return bool(self.error) or self.response.parameters["triton_final_response"].bool_param

    def tensor(self, name: str) -> npt.NDArray[np.object_]:
        values: npt.NDArray[np.object_] | None = triton_grpc.InferResult(self.response).as_numpy(name)
        assert values is not None, f"no {name} among {self.names()}"
        return values

    def names(self) -> set[str]:
        return {output.name for output in self.response.outputs}


class Stream:
    """A ModelStreamInfer stream for one request, with the messages that have come."""

    def __init__(self, address: str, request: messages.ModelInferRequest) -> None:
        self._channel = grpc.insecure_channel(address)
        method = self._channel.stream_stream(
            "/inference.GRPCInferenceService/ModelStreamInfer",
            request_serializer=messages.ModelInferRequest.SerializeToString,
            response_deserializer=messages.ModelStreamInferResponse.FromString,
        )
        self._call = method(iter([request]), timeout=ANSWER_S)

    def __iter__(self) -> Iterator[Chunk]:
        for message in self._call:
            yield Chunk(message.infer_response, message.error_message)

    def next(self) -> Chunk:
        return next(iter(self))

    def text(self) -> str:
        """All text to the end of the stream."""
        return "".join(chunk.tensor("text_output").item().decode() for chunk in self)

    def close(self) -> None:
        """Go away: whatever is unfinished is cancelled."""
        self._call.cancel()
        self._channel.close()


Value = str | int | bool | list[int]
OpenStream = Callable[..., Stream]


def infer_request(model: str, request_id: str = "", **inputs: Value) -> messages.ModelInferRequest:
    """A request of the batched models: scalars have shape [1, 1], lists [1, n]."""
    request = messages.ModelInferRequest(model_name=model, id=request_id)
    for name, value in inputs.items():
        kind, array = _array(value)
        tensor = triton_grpc.InferInput(name, list(array.shape), kind)
        tensor.set_data_from_numpy(array)
        request.inputs.append(tensor._get_tensor())
        request.raw_input_contents.append(tensor._get_content())
    return request


def _array(value: Value) -> tuple[str, npt.NDArray[np.generic]]:
    if isinstance(value, bool):
        return "BOOL", np.array([[value]])
    if isinstance(value, str):
        return "BYTES", np.array([[value.encode()]], dtype=np.object_)
    return "INT32", np.array([value if isinstance(value, list) else [value]], dtype=np.int32)


@pytest.fixture(scope="session")
def known() -> KnownPrompts:
    return KnownPrompts()


@pytest.fixture(scope="session")
def answers_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("answers") / "answers.jsonl"
    requests = [
        TraceRequest(
            id=f"{known.prompt}/{place}",
            prompt=known.prompt,
            prompt_tokens=known.prompt_tokens,
            max_tokens=2048,
            arrival_s=0.0,
            output_tokens=output_tokens,
        )
        for known in KnownPrompts()
        for place, output_tokens in enumerate(known.output_tokens)
    ]
    write_answers(path, requests)
    return path


@pytest.fixture(scope="session")
def direct_triton(answers_file: Path) -> Iterator[TritonServer]:
    """Steps of 5 ms: quick, yet slow enough that something can happen to a long answer meanwhile."""
    with TritonServer("slot-bound", time_scale=0.5, answers=answers_file, manageable=True) as server:
        yield server


@pytest.fixture(scope="session")
def bls_triton(answers_file: Path) -> Iterator[TritonServer]:
    """The classic layout with tensorrt_llm_bls in two instances, its text cumulative."""
    with TritonServer("slot-bound", time_scale=0.5, answers=answers_file, layout=BLS) as server:
        yield server


@pytest.fixture(scope="session")
def llmapi_triton(answers_file: Path) -> Iterator[TritonServer]:
    """The LLM API's model, as it is set up for streams."""
    with TritonServer("slot-bound", time_scale=0.5, answers=answers_file, layout=LLMAPI) as server:
        yield server


@pytest.fixture(scope="session")
def llmapi_whole_triton(answers_file: Path) -> Iterator[TritonServer]:
    """The LLM API's model as it comes: one response per request."""
    with TritonServer("slot-bound", time_scale=0.5, answers=answers_file, layout=LLMAPI_WHOLE) as server:
        yield server


@pytest.fixture(scope="session")
def vllm_triton(answers_file: Path) -> Iterator[TritonServer]:
    """A model of the vLLM backend."""
    with TritonServer("slot-bound", time_scale=0.5, answers=answers_file, layout=VLLM) as server:
        yield server


@pytest.fixture
def open_stream(direct_triton: TritonServer) -> Iterator[OpenStream]:
    """Opens a stream by model, `request_id` and inputs; closed when the test ends."""
    opened: list[Stream] = []

    def open_one(model: str, request_id: str = "", outputs: tuple[str, ...] = (), **inputs: Value) -> Stream:
        request = infer_request(model, request_id, **inputs)
        for name in outputs:
            request.outputs.add().name = name
        opened.append(Stream(direct_triton.grpc_address, request))
        return opened[-1]

    yield open_one
    for stream in opened:
        stream.close()

"""Every kind of model on a real Triton: through the gateway all is as it is directly.

Streamed and whole, raw and by the gateway's own text interface; counts, whole characters, the end.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from gateway_process import Exchange, GatewayProcess, settings_for
from profile_cases import CASES, MIXED, NUM_TOKENS, PLAIN, Case, a_request, true_text

from sagesched_emulator.tokenizer import TOKENIZER_PATH
from sagesched_emulator.triton_server import TritonServer
from sagesched_gateway.errors import UnsupportedError
from sagesched_gateway.gateway import Gateway
from sagesched_gateway.kserve import ModelInferRequest
from sagesched_gateway.settings.config import parse_config
from sagesched_gateway.text import Sampling, TextPiece

AS_STATUS = (("triton_grpc_error", "true"),)


@pytest.fixture(scope="module", params=CASES)
def case(request: pytest.FixtureRequest) -> Case:
    return CASES[request.param]


@pytest.fixture(scope="module")
def triton(case: Case, request: pytest.FixtureRequest) -> TritonServer:
    server: TritonServer = request.getfixturevalue(case.server)
    return server


@pytest.fixture(scope="module")
def gateway(triton: TritonServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    gateway = GatewayProcess(settings_for(triton), tmp_path_factory.mktemp("gateway"))
    gateway.wait_ready()
    yield gateway
    gateway.close()


def broken(case: Case) -> ModelInferRequest:
    """A request that the model refuses."""
    message = a_request(case, PLAIN, stream=True)
    message.inputs.add(name="no_such_input", datatype="BOOL", shape=[1])
    message.raw_input_contents.append(b"\x01")
    return message


@pytest.mark.parametrize("metadata", [(), AS_STATUS], ids=["in-band", "status"])
@pytest.mark.parametrize("kind", ["streamed", "whole", "mixed", "refused"])
def test_the_same_comes_back_as_directly(case, triton, gateway, kind, metadata):
    if kind == "refused":
        message = broken(case)
    else:
        prompt = MIXED if kind == "mixed" else PLAIN
        message = a_request(case, prompt, stream=kind != "whole")
    direct, through = (
        [
            answer if isinstance(answer, tuple) else answer.SerializeToString(deterministic=True)
            for answer in Exchange(address, message, metadata=metadata).rest()
        ]
        for address in (triton.grpc_address, gateway.grpc_address)
    )
    assert through == direct
    assert len(through) >= (NUM_TOKENS if kind in ("streamed", "mixed") else 1)


@asynccontextmanager
async def a_gateway(triton: TritonServer, **changes) -> AsyncIterator[Gateway]:
    gateway = Gateway(parse_config(settings_for(triton, **changes)))
    await gateway.start()
    try:
        yield gateway
    finally:
        await gateway.close()


async def pieces_of(gateway: Gateway, model: str, prompt: str, sampling: Sampling) -> list[TextPiece]:
    """A text request as the OpenAI face makes it."""
    dispatcher = gateway.dispatcher
    message = dispatcher.compose(model, prompt, sampling)
    reader = dispatcher.text_reader(model)
    pieces = [reader.read(response) async for response in dispatcher.generate(message)]
    return [*pieces, reader.close()]


def check_pieces(pieces: list[TextPiece], prompt: str, num_tokens: int) -> None:
    text = "".join(piece.text for piece in pieces)
    expected = true_text(prompt, num_tokens)
    assert text == expected
    for piece in pieces[:-2]:  # the cap may cut the very last character in two
        assert "\N{REPLACEMENT CHARACTER}" not in piece.text


@pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])
async def test_text_is_the_true_text_and_the_engine_counts(case, triton, stream):
    sampling = Sampling(max_tokens=NUM_TOKENS, stream=stream, temperature=0)
    async with a_gateway(triton) as gateway:
        assert case.model in gateway.dispatcher.text_models()
        prompts = [PLAIN] if case.model == "ensemble" else [PLAIN, MIXED]
        for prompt in prompts:
            pieces = await pieces_of(gateway, case.model, prompt, sampling)
            check_pieces(pieces, prompt, NUM_TOKENS)
            counted = [piece.output_tokens for piece in pieces if piece.output_tokens is not None]
            assert sum(counted) == (NUM_TOKENS if case.tells_counts else 0)
            assert len(pieces) > NUM_TOKENS / 2 or not stream
        counters = gateway.dispatcher.snapshot().counters
    assert counters["completed"] == len(prompts)


async def test_the_engine_is_asked_in_text_where_the_tokenizer_is_known(direct_triton):
    sampling = Sampling(max_tokens=NUM_TOKENS, stream=True, temperature=0)
    async with a_gateway(direct_triton, tokenizer=str(TOKENIZER_PATH)) as gateway:
        assert gateway.dispatcher.text_models() == ("ensemble", "tensorrt_llm")
        for prompt in (PLAIN, MIXED):
            pieces = await pieces_of(gateway, "tensorrt_llm", prompt, sampling)
            check_pieces(pieces, prompt, NUM_TOKENS)
            assert sum(piece.output_tokens or 0 for piece in pieces) == NUM_TOKENS


async def test_a_tokenizer_counts_where_the_model_does_not(llmapi_triton):
    async with a_gateway(llmapi_triton, tokenizer=str(TOKENIZER_PATH)) as gateway:
        dispatcher = gateway.dispatcher
        message = dispatcher.compose("tensorrt_llm", PLAIN, Sampling(max_tokens=NUM_TOKENS))
        generation = dispatcher.generate(message)
        reader = dispatcher.text_reader("tensorrt_llm")
        pieces = [reader.read(response) async for response in generation]
        assert generation.output_tokens == NUM_TOKENS
        assert pieces[-1].finish_reason == "length"
        assert reader.close().output_tokens == NUM_TOKENS
        with pytest.raises(UnsupportedError, match="json_schema"):
            dispatcher.compose("tensorrt_llm", PLAIN, Sampling(max_tokens=1, json_schema="{}"))


async def test_a_model_of_one_response_is_queued_too(llmapi_whole_triton):
    async with a_gateway(llmapi_whole_triton) as gateway:
        sampling = Sampling(max_tokens=NUM_TOKENS, stream=True)
        pieces = await pieces_of(gateway, "tensorrt_llm", MIXED, sampling)
        check_pieces(pieces, MIXED, NUM_TOKENS)
        assert len(pieces) == 2
        assert gateway.dispatcher.snapshot().counters["completed"] == 1

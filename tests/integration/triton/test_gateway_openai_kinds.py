"""OpenAI's client gets the same answers, counts and reasons from every kind of model behind the gateway."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import openai
import pytest

sys.path.insert(0, str(Path(__file__).parent))

from gateway_process import WAIT_S, GatewayProcess, settings_for

from sagesched_emulator.tokenizer import TOKENIZER_PATH, EmulatorTokenizer

KINDS = {
    "classic": ("bls_triton", ("ensemble", "tensorrt_llm_bls", "tensorrt_llm")),
    "llmapi": ("llmapi_triton", ("tensorrt_llm",)),
    "llmapi-whole": ("llmapi_whole_triton", ("tensorrt_llm",)),
    "vllm": ("vllm_triton", ("vllm_model",)),
}
"""By name: the fixture of a Triton, and its models that can be asked in text."""


@pytest.fixture(scope="module", params=KINDS)
def kind(request) -> str:
    return request.param


@pytest.fixture(scope="module")
def models(kind) -> tuple[str, ...]:
    return KINDS[kind][1]


@pytest.fixture(scope="module")
def client(request, kind, tmp_path_factory) -> Iterator[openai.OpenAI]:
    triton = request.getfixturevalue(KINDS[kind][0])
    settings = settings_for(triton, tokenizer=str(TOKENIZER_PATH))
    gateway = GatewayProcess(settings, tmp_path_factory.mktemp(kind))
    try:
        gateway.wait_ready()
        with openai.OpenAI(
            base_url=f"http://{gateway.http_address}/v1", api_key="none", max_retries=0, timeout=WAIT_S
        ) as client:
            yield client
    finally:
        gateway.close()


def test_openai_lists_the_models_of_each_kind(client, models):
    assert sorted(model.id for model in client.models.list()) == sorted(models)


def test_openai_whole_and_stream_agree_for_each_kind(client, models, known):
    (tokens,) = known.short.output_tokens
    num_prompt_tokens = len(EmulatorTokenizer().encode(known.short.prompt))
    for model in models:
        whole = client.completions.create(model=model, prompt=known.short.prompt)
        (choice,) = whole.choices
        assert choice.finish_reason == "stop", model
        assert known.short.prompt not in choice.text
        assert whole.usage.completion_tokens == tokens, model
        assert whole.usage.prompt_tokens in (known.short.prompt_tokens, num_prompt_tokens), model
        chunks = list(
            client.completions.create(
                model=model, prompt=known.short.prompt, stream=True, stream_options={"include_usage": True}
            )
        )
        assert "".join(chunk.choices[0].text for chunk in chunks[:-1]) == choice.text, model
        assert chunks[-2].choices[0].finish_reason == "stop", model
        assert chunks[-1].usage == whole.usage, model


@pytest.mark.parametrize("stream", [False, True])
def test_openai_caps_each_kind(client, models, known, stream):
    for model in models:
        asked = {"model": model, "prompt": known.very_long.prompt, "max_tokens": 7, "temperature": 0}
        if stream:
            chunks = list(client.completions.create(**asked, stream=True))
            assert chunks[-1].choices[0].finish_reason == "length", model
        else:
            answer = client.completions.create(**asked)
            assert (answer.choices[0].finish_reason, answer.usage.completion_tokens) == ("length", 7), model


def test_openai_refuses_what_each_kind_cannot(client, kind, models):
    for model in models:
        for fields, param in (({"n": 2}, "n"), ({"logprobs": 1}, "logprobs")):
            with pytest.raises(openai.BadRequestError) as caught:
                client.completions.create(model=model, prompt="x", **fields)
            assert (caught.value.param, caught.value.code) == (param, "unsupported"), model
    if kind != "classic":
        with pytest.raises(openai.BadRequestError) as caught:
            client.completions.create(
                model=models[0], prompt="x", extra_body={"response_format": {"type": "json_object"}}
            )
        assert caught.value.param == "response_format"

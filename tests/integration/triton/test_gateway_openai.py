"""The OpenAI face of a real gateway before a real Triton, asked by OpenAI's own client and by curl."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import openai
import pytest

sys.path.insert(0, str(Path(__file__).parent))

from gateway_process import WAIT_S, GatewayProcess, settings_for, until

from sagesched_emulator.tokenizer import TOKENIZER_PATH
from sagesched_emulator.triton_server import TritonServer

MODEL = "llama"
TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}"
    "{% if message.role == 'assistant' and loop.first %}{{ raise_exception('users begin') }}{% endif %}"
    "{{ message.content }}{% endfor %}"
)


@pytest.fixture(scope="module")
def gateway(
    direct_triton: TritonServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[GatewayProcess]:
    """One place in the engine, so that a second request waits; a tokenizer's folder as models bring it."""
    folder = tmp_path_factory.mktemp("openai")
    (folder / "tokenizer.json").write_bytes(TOKENIZER_PATH.read_bytes())
    config = {"chat_template": TEMPLATE, "bos_token": "<s>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    settings = settings_for(
        direct_triton,
        tokenizer=str(folder),
        engine={"slots": 1, "lookahead": 0},
        openai={"servedName": MODEL, "defaultMaxTokens": 64},
        limits={"queuedRequests": 1},
        attributes={"trustedNetworks": ["127.0.0.0/8"]},
    )
    gateway = GatewayProcess(settings, folder)
    gateway.wait_ready()
    yield gateway
    gateway.close()


@pytest.fixture(scope="module")
def base_url(gateway: GatewayProcess) -> str:
    return f"http://{gateway.http_address}/v1"


@pytest.fixture
def client(base_url: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=base_url, api_key="none", max_retries=0, timeout=WAIT_S) as client:
        yield client


@pytest.fixture
async def async_client(base_url: str) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=base_url, api_key="none", max_retries=0, timeout=WAIT_S) as client:
        yield client


def user(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


def test_openai_models(client):
    (model,) = client.models.list()
    assert model.id == MODEL
    assert client.models.retrieve(MODEL) == model
    with pytest.raises(openai.NotFoundError) as caught:
        client.models.retrieve("ensemble")
    assert caught.value.code == "model_not_found"


def test_openai_completion_ends_by_itself(client, known):
    prompt, prompt_tokens, (output_tokens,) = known.short
    answer = client.completions.create(model=MODEL, prompt=prompt)
    (choice,) = answer.choices
    assert choice.finish_reason == "stop"
    assert choice.text
    assert prompt not in choice.text
    assert answer.usage is not None
    assert answer.usage.completion_tokens == output_tokens
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + output_tokens
    assert answer.usage.prompt_tokens == prompt_tokens


def test_openai_completion_ends_at_the_cap(client, known):
    answer = client.completions.create(model=MODEL, prompt=known.very_long.prompt, max_tokens=5)
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 5


def test_openai_chat_is_the_rendered_completion(client, known):
    """The template gives the message alone once its BOS is off, so both endpoints ask for the same prompt."""
    chat = client.chat.completions.create(model=MODEL, messages=user(known.short.prompt))
    text = client.completions.create(model=MODEL, prompt=known.short.prompt)
    (choice,) = chat.choices
    assert choice.message.role == "assistant"
    assert choice.message.content == text.choices[0].text
    assert choice.finish_reason == "stop"
    assert chat.usage == text.usage


@pytest.mark.parametrize("ask", ["chat", "text"])
def test_openai_stream_gives_the_same(client, known, ask: str):
    options = {"model": MODEL, "stream": True, "stream_options": {"include_usage": True}}
    whole = client.completions.create(model=MODEL, prompt=known.short.prompt)
    if ask == "chat":
        chunks = list(client.chat.completions.create(messages=user(known.short.prompt), **options))
        texts = [choice.delta.content or "" for chunk in chunks for choice in chunk.choices]
        assert chunks[0].choices[0].delta.role == "assistant"
    else:
        chunks = list(client.completions.create(prompt=known.short.prompt, **options))
        texts = [choice.text for chunk in chunks for choice in chunk.choices]
    assert "".join(texts) == whole.choices[0].text
    assert sum(map(bool, texts)) == known.short.output_tokens[0]  # one by one
    assert chunks[-1].choices == []
    assert chunks[-1].usage == whole.usage
    reasons = [choice.finish_reason for chunk in chunks for choice in chunk.choices]
    assert [reason for reason in reasons if reason] == ["stop"]
    assert reasons[-1] == "stop"


async def test_openai_async_streams_wait_for_each_other(async_client, known):
    async def streamed(prompt: str) -> str:
        stream = await async_client.chat.completions.create(model=MODEL, messages=user(prompt), stream=True)
        return "".join([chunk.choices[0].delta.content or "" async for chunk in stream])

    texts = await asyncio.gather(streamed(known.short.prompt), streamed(known.longer_than_it_looks.prompt))
    assert all(texts)
    assert texts[0] != texts[1]


def test_openai_several_prompts(client, known):
    prompts = [known.short.prompt, known.longer_than_it_looks.prompt]
    answer = client.completions.create(model=MODEL, prompt=prompts)
    assert [choice.index for choice in answer.choices] == [0, 1]
    assert answer.usage is not None
    assert answer.usage.completion_tokens == sum(
        known_prompt.output_tokens[0] for known_prompt in (known.short, known.longer_than_it_looks)
    )
    alone = [client.completions.create(model=MODEL, prompt=prompt).choices[0].text for prompt in prompts]
    assert [choice.text for choice in answer.choices] == alone


def test_openai_every_servable_field_passes(client, known):
    answer = client.chat.completions.create(
        model=MODEL,
        messages=[
            {"role": "user", "content": [{"type": "text", "text": known.short.prompt}]},
        ],
        max_completion_tokens=6,
        temperature=0,
        top_p=0.9,
        seed=-1,
        stop=["never this", "nor that"],
        presence_penalty=0.5,
        frequency_penalty=-0.5,
        n=1,
        user="someone",
        tools=[],
        response_format={"type": "text"},
        extra_body={"top_k": 40, "a_field_of_tomorrow": 1},
    )
    assert answer.choices[0].finish_reason == "length"


@pytest.mark.parametrize(
    ("fields", "param", "code"),
    [
        ({"n": 2}, "n", "unsupported"),
        ({"logprobs": True}, "logprobs", "unsupported"),
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "tools", "unsupported"),
        ({"temperature": 3}, "temperature", "invalid-request"),
        (
            {"messages": [*user("x"), {"role": "user", "content": 7}]},
            "messages[1].content",
            "invalid-request",
        ),
        ({"messages": [{"role": "assistant", "content": "I begin."}]}, "messages", "invalid-request"),
        ({"stream_options": {"include_usage": True}}, "stream_options", "invalid-request"),
        ({"max_tokens": 2_000_000_000}, None, "context_length_exceeded"),
    ],
)
def test_openai_bad_requests(client, fields, param, code):
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(**{"model": MODEL, "messages": user("x")} | fields)
    assert (caught.value.param, caught.value.code) == (param, code)
    assert caught.value.type == "invalid_request_error"


def test_openai_unknown_model(client):
    with pytest.raises(openai.NotFoundError) as caught:
        client.completions.create(model="gpt-4", prompt="x")
    assert (caught.value.code, caught.value.param) == ("model_not_found", "model")


def test_openai_raw_headers(client):
    raw = client.completions.with_raw_response.create(
        model=MODEL, prompt="Name a river.", max_tokens=2, extra_headers={"x-request-id": "mine-7"}
    )
    assert raw.headers["x-request-id"] == "mine-7"
    assert float(raw.headers["x-sagesched-queue-time"]) < 1.0
    assert raw.parse()._request_id == "mine-7"
    with pytest.raises(openai.NotFoundError) as caught:
        client.completions.create(model="gpt-4", prompt="x")
    assert caught.value.request_id is not None
    assert caught.value.request_id.startswith("req-")


def test_openai_leaving_a_stream_frees_the_engine(client, gateway, known):
    stream = client.completions.create(
        model=MODEL, prompt=known.very_long.prompt, max_tokens=2000, stream=True
    )
    next(iter(stream))
    assert gateway.queue() == (0, 1)
    left_at = time.monotonic()
    stream.close()
    until(lambda: gateway.queue() == (0, 0))
    assert time.monotonic() - left_at < 3.0  # its 2000 tokens would take 10 s


def test_openai_a_full_queue_is_told_before_any_byte(client, gateway, known):
    long = {"model": MODEL, "prompt": known.very_long.prompt, "max_tokens": 2000, "stream": True}
    with client.completions.create(**long) as running:
        next(iter(running))
        command = ["curl", "-sN", f"http://{gateway.http_address}/v1/completions", "-d", json.dumps(long)]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as waiting:
            until(lambda: gateway.queue() == (1, 1))
            with pytest.raises(openai.InternalServerError) as caught:
                client.completions.create(**long)
            waiting.kill()
    assert caught.value.status_code == 503
    assert (caught.value.code, caught.value.type) == ("queue-full", "service_unavailable")
    assert 1 <= int(caught.value.response.headers["retry-after"]) <= 60
    until(lambda: gateway.queue() == (0, 0))


def test_openai_a_deadline_before_the_first_byte_has_a_status_and_no_retry(client, gateway, known):
    long = {"model": MODEL, "prompt": known.very_long.prompt, "max_tokens": 2000}
    with pytest.raises(openai.InternalServerError) as caught:
        client.with_options(max_retries=3).completions.create(
            **long, extra_headers={"x-sagesched-deadline": "0.2"}
        )
    assert (caught.value.status_code, caught.value.code) == (504, "deadline-exceeded")
    assert caught.value.response.headers["x-should-retry"] == "false"
    until(lambda: gateway.queue() == (0, 0))


def test_openai_a_deadline_after_it_is_the_last_event(client, gateway, known):
    messages = user(known.very_long.prompt)
    stream = client.chat.completions.create(
        model=MODEL,
        messages=messages,
        max_tokens=2000,
        stream=True,
        extra_headers={"x-sagesched-deadline": "0.3"},
    )
    with pytest.raises(openai.APIError) as caught:
        list(stream)
    assert caught.value.code == "deadline-exceeded"
    until(lambda: gateway.queue() == (0, 0))


def curl(*arguments: str) -> str:
    done = subprocess.run(
        ["curl", "-s", *arguments], capture_output=True, text=True, check=True, timeout=WAIT_S
    )
    return done.stdout


def test_openai_by_curl(base_url):
    body = json.dumps({"model": MODEL, "messages": user("Name a river."), "max_tokens": 3, "stream": True})
    answer = curl("-i", "-N", f"{base_url}/chat/completions", "-H", "x-request-id: c-1", "-d", body)
    head, _, text = answer.replace("\r\n", "\n").partition("\n\n")
    status, *headers = head.lower().split("\n")
    assert status.startswith("http/1.1 200")
    for header in (
        "content-type: text/event-stream; charset=utf-8",
        "cache-control: no-cache",
        "x-accel-buffering: no",
        "x-request-id: c-1",
    ):
        assert header in headers
    *events, end = text.removesuffix("\n\n").split("\n\n")
    assert end == "data: [DONE]"
    chunks = [json.loads(event.removeprefix("data: ")) for event in events]
    assert chunks[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert chunks[-1]["choices"][0] == {"index": 0, "delta": {}, "logprobs": None, "finish_reason": "length"}


def test_openai_health_and_unknown_paths_by_curl(base_url):
    status = ("-o", "/dev/null", "-w", "%{http_code}")
    assert curl(*status, f"{base_url.removesuffix('/v1')}/health") == "200"
    assert curl(*status, f"{base_url}/embeddings", "-d", "{}") == "404"
    error = json.loads(curl(f"{base_url}/chat/completions", "-d", "{"))["error"]
    assert (error["type"], error["code"]) == ("invalid_request_error", "invalid-request")


def test_openai_chats_without_a_template(direct_triton, tmp_path: Path):
    gateway = GatewayProcess(settings_for(direct_triton), tmp_path)
    try:
        gateway.wait_ready()
        with openai.OpenAI(
            base_url=f"http://{gateway.http_address}/v1", api_key="none", max_retries=0
        ) as client:
            names = [model.id for model in client.models.list()]
            assert names[0] == "ensemble"
            with pytest.raises(openai.BadRequestError, match=r"openai\.chatTemplate"):
                client.chat.completions.create(model="ensemble", messages=user("x"))
            assert client.completions.create(model="ensemble", prompt="x", max_tokens=2).usage is not None
    finally:
        gateway.close()

"""The OpenAI face before a dispatcher that answers what a test tells it to."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import ClientResponse, web
from aiohttp.test_utils import TestClient, TestServer

from sagesched_gateway.api.attributes import AttributeReader
from sagesched_gateway.api.http_face.body import BODY_ROOM, BodyRoom
from sagesched_gateway.api.openai.chat_template import ChatTemplate, TemplateSource
from sagesched_gateway.api.openai.face import OpenAIFace
from sagesched_gateway.dispatch.generation import Generation
from sagesched_gateway.dispatch.token_count import TokenCounter
from sagesched_gateway.errors import GatewayError, UnsupportedError, UpstreamError
from sagesched_gateway.kserve import ModelInferRequest, ModelInferResponse
from sagesched_gateway.request import Attributes, Conversation
from sagesched_gateway.settings.sections.attributes import AttributesConfig
from sagesched_gateway.settings.sections.limits import LimitsConfig
from sagesched_gateway.settings.sections.openai import OpenAIConfig
from sagesched_gateway.text import Sampling, TextPiece

TEMPLATE = "{{ bos_token }}{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}<assistant>"


class Reader:
    """Reads pieces out of parameters; holds the text `...` back until the end."""

    def __init__(self) -> None:
        self._held = ""

    def read(self, response: ModelInferResponse) -> TextPiece:
        parameters = response.parameters
        if "text" not in parameters:
            raise UpstreamError("a response has no text")
        text = parameters["text"].string_param
        self._held, text = (text, "") if text == "..." else ("", text)
        return TextPiece(
            text=text,
            input_tokens=parameters["input"].int64_param if "input" in parameters else None,
            output_tokens=parameters["output"].int64_param if "output" in parameters else None,
            finish_reason=parameters["reason"].string_param if "reason" in parameters else None,
        )

    def close(self) -> TextPiece:
        return TextPiece(text=self._held)


def piece(text: str | None, **more: int | str) -> ModelInferResponse:
    response = ModelInferResponse(model_name="ensemble")
    if text is not None:
        response.parameters["text"].string_param = text
    for name, value in more.items():
        if isinstance(value, str):
            response.parameters[name].string_param = value
        else:
            response.parameters[name].int64_param = value
    return response


class FakeDispatcher:
    """Answers each request with `pieces`, then ends it with `error` unless it is told to hold it open."""

    def __init__(self) -> None:
        self.models: tuple[str, ...] = ("ensemble", "other")
        self.later: tuple[str, ...] = ()
        self.pieces = [piece("Hel", input=3, output=1), piece("lo", output=1)]
        self.error: GatewayError | None = None
        self.refusal: GatewayError | None = None
        self.holds_open = False
        self.asked: list[tuple[str, str, Sampling]] = []
        self.messages: list[ModelInferRequest] = []
        self.attributes: list[Attributes] = []
        self.conversations: list[Conversation | None] = []
        self.generations: list[Generation] = []
        self.num_closed = 0
        self._started = asyncio.Semaphore(0)
        self.closed = asyncio.Event()

    def text_models(self) -> tuple[str, ...]:
        return self.models

    async def resolve(self, model: str) -> bool:
        if model in self.later:
            self.models += (model,)
        return model in self.models

    def compose(self, model: str, prompt: str, sampling: Sampling) -> ModelInferRequest:
        if sampling.n > 1:
            raise UnsupportedError("one answer only", field="n")
        if sampling.json_schema is not None:
            raise UnsupportedError("no schema", field="json_schema")
        self.asked.append((model, prompt, sampling))
        return ModelInferRequest(model_name=model)

    def text_reader(self, model: str) -> Reader:
        return Reader()

    def generate(
        self,
        message: ModelInferRequest,
        *,
        metadata: object,
        attributes: Attributes,
        conversation: Conversation | None,
    ) -> Generation:
        if self.refusal is not None:
            raise self.refusal
        self.messages.append(message)
        self.attributes.append(attributes)
        self.conversations.append(conversation)
        generation = Generation(client_id=message.id, model=message.model_name, close=self._close)
        generation.queue_s = 0.25
        for response in self.pieces:
            generation.respond(response)
        if not self.holds_open:
            generation.end(self.error)
        self.generations.append(generation)
        self._started.release()
        return generation

    async def have_started(self, number: int) -> None:
        for _ in range(number):
            await self._started.acquire()

    def _close(self) -> None:
        self.num_closed += 1
        self.closed.set()


class Face:
    """A client of the face.

    Attributes:
        dispatcher: behind it.
    """

    def __init__(self, dispatcher: FakeDispatcher, client: TestClient[Any, Any]) -> None:
        self.dispatcher = dispatcher
        self.client = client

    async def post(self, path: str, body: object, **headers: str) -> tuple[ClientResponse, Any]:
        """The answer and its object."""
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        async with self.client.post(f"/v1/{path}", data=raw, headers=headers) as answer:
            return answer, json.loads(await answer.read())

    async def complete(self, **fields: object) -> tuple[ClientResponse, Any]:
        return await self.post("completions", {"model": "ensemble", "prompt": "Hi"} | fields)

    async def chat(self, *messages: object, **fields: object) -> tuple[ClientResponse, Any]:
        said = list(messages) or [{"role": "user", "content": "Hi"}]
        return await self.post("chat/completions", {"model": "ensemble", "messages": said} | fields)

    async def events(self, path: str, body: dict[str, object]) -> tuple[ClientResponse, list[Any]]:
        """A stream's events; `[DONE]` as it is."""
        async with self.client.post(f"/v1/{path}", json=body | {"stream": True}) as answer:
            *events, rest = (await answer.text()).split("\n\n")
            assert rest == ""
            assert all(event.startswith("data: ") for event in events)
            payloads = [event.removeprefix("data: ") for event in events]
            return answer, [text if text == "[DONE]" else json.loads(text) for text in payloads]


@pytest.fixture
async def dispatcher() -> FakeDispatcher:
    return FakeDispatcher()


@pytest.fixture
def config() -> OpenAIConfig:
    return OpenAIConfig()


@pytest.fixture
def template() -> ChatTemplate | None:
    return ChatTemplate(TemplateSource(text=TEMPLATE, special_tokens={"bos_token": "<s>"}))


@pytest.fixture
async def face(
    dispatcher: FakeDispatcher, config: OpenAIConfig, template: ChatTemplate | None
) -> AsyncIterator[Face]:
    openai = OpenAIFace(
        dispatcher,  # type: ignore[arg-type]
        config=config,
        limits=LimitsConfig(message_bytes=100_000, json_depth=8),
        counter=TokenCounter(),
        template=template,
        reader=AttributeReader(AttributesConfig(trusted_networks=("127.0.0.0/8",))),
    )
    app = web.Application(handler_args={"handler_cancellation": True})
    app[BODY_ROOM] = BodyRoom(LimitsConfig())
    app.add_subapp("/v1", openai.app())
    async with TestClient(TestServer(app)) as client:
        yield Face(dispatcher, client)


@pytest.fixture
def a_piece():
    """Builds a response that brings text, and counts or a reason."""
    return piece

"""The handlers of `/v1`: from an HTTP request to generations and back.

A request is read, its prompts are composed into messages of the model's kind, and from there on they wait
and run like any other. When the caller leaves, aiohttp cancels the handler, and closing the generations on
the way out cancels them in the engine.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Sequence
from contextlib import AsyncExitStack, aclosing
from functools import partial

from aiohttp import hdrs, web

from sagesched_gateway.api.attributes import AttributeReader
from sagesched_gateway.api.http_face.attributes import told_headers
from sagesched_gateway.api.http_face.beginning import begin
from sagesched_gateway.api.http_face.body import read_body
from sagesched_gateway.api.http_face.sse import EventStream
from sagesched_gateway.api.json_form.bounded import parse_json
from sagesched_gateway.api.openai.answer import Answer
from sagesched_gateway.api.openai.chat_request import conversation_of, read_chat
from sagesched_gateway.api.openai.chat_template import ChatTemplate
from sagesched_gateway.api.openai.completion_request import read_completion
from sagesched_gateway.api.openai.fields import Fields
from sagesched_gateway.api.openai.http_answers import MIDDLEWARES, REQUEST_ID, add_headers
from sagesched_gateway.api.openai.served_models import ServedModels
from sagesched_gateway.api.openai.shapes import (
    AnswerObjects,
    ChatShape,
    CompletionShape,
    Shape,
    model_list,
    model_object,
)
from sagesched_gateway.api.openai.writing import Running, StreamWriter, json_response, write_whole
from sagesched_gateway.dispatch.dispatcher import Dispatcher
from sagesched_gateway.dispatch.generation import Generation
from sagesched_gateway.dispatch.token_count import TokenCounter
from sagesched_gateway.errors import InvalidRequestError, UnknownModelError, UnsupportedError
from sagesched_gateway.request import Conversation
from sagesched_gateway.settings.limits import Limits
from sagesched_gateway.settings.sections.openai import OpenAIConfig
from sagesched_gateway.text import Sampling

_SLOW_CHARACTERS = 20_000
"""From this length on, rendering or encoding takes a millisecond or more and belongs into a thread."""

_NO_TEMPLATE = (
    "this gateway has no chat template: set openai.chatTemplate to a Jinja file, or tokenizer to a folder "
    "whose tokenizer_config.json or chat_template.jinja holds one"
)


class OpenAIFace:
    """See the module's text."""

    def __init__(
        self,
        dispatcher: Dispatcher,
        *,
        config: OpenAIConfig,
        limits: Limits,
        counter: TokenCounter,
        template: ChatTemplate | None,
        reader: AttributeReader,
    ) -> None:
        """Build it.

        Args:
            dispatcher: where generations go.
            config: names and defaults.
            limits: of bodies and prompts.
            counter: counts tokens where the engine does not tell.
            template: renders chats; None refuses them.
            reader: knows whose attributes are believed.
        """
        self._dispatcher = dispatcher
        self._models = ServedModels(dispatcher, config)
        self._default_max_tokens = config.default_max_tokens
        self._limits = limits
        self._counter = counter
        self._template = template
        self._reader = reader
        self._created_unix_s = int(time.time())

    def app(self) -> web.Application:
        """The application to mount at `/v1`."""
        app = web.Application(middlewares=MIDDLEWARES)
        app.on_response_prepare.append(add_headers)
        app.router.add_get("/models", self.models)
        app.router.add_get("/models/{model:.+}", self.model)
        app.router.add_post("/completions", self.completions)
        app.router.add_post("/chat/completions", self.chat_completions)
        return app

    async def models(self, _: web.Request) -> web.StreamResponse:
        """`GET /v1/models`."""
        return json_response(model_list(self._models.names(), self._created_unix_s))

    async def model(self, request: web.Request) -> web.StreamResponse:
        """`GET /v1/models/{model}`."""
        name = request.match_info["model"]
        if name not in self._models.names():
            raise UnknownModelError(f"The model '{name}' does not exist")
        return json_response(model_object(name, self._created_unix_s))

    async def completions(self, request: web.Request) -> web.StreamResponse:
        """`POST /v1/completions`."""
        fields = await self._fields(request)
        asked = read_completion(fields, default_max_tokens=self._default_max_tokens)
        return await self._answer(
            request,
            CompletionShape(),
            model=asked.model,
            prompts=asked.prompts,
            sampling=asked.sampling,
            include_usage=asked.include_usage,
        )

    async def chat_completions(self, request: web.Request) -> web.StreamResponse:
        """`POST /v1/chat/completions`."""
        fields = await self._fields(request)
        asked = read_chat(fields, default_max_tokens=self._default_max_tokens)
        prompt = await self._rendered(asked.messages)
        return await self._answer(
            request,
            ChatShape(),
            model=asked.model,
            prompts=[prompt],
            sampling=asked.sampling,
            include_usage=asked.include_usage,
            conversation=conversation_of(asked.messages),
        )

    async def _fields(self, request: web.Request) -> Fields:
        if request.headers.get(hdrs.CONTENT_ENCODING, "identity") != "identity":
            raise InvalidRequestError("Unsupported content-encoding, only 'identity' is supported.")
        body = await read_body(request, self._limits.message_bytes)
        return Fields(parse_json(body, self._limits.json_depth))

    async def _rendered(self, messages: Sequence[dict[str, str]]) -> str:
        template, most = self._template, self._limits.message_bytes
        if template is None:
            raise UnsupportedError(_NO_TEMPLATE)
        if sum(len(message["content"]) for message in messages) < _SLOW_CHARACTERS:
            return template.render(messages, max_characters=most)
        return await asyncio.to_thread(template.render, messages, max_characters=most)

    async def _answer(
        self,
        request: web.Request,
        shape: Shape,
        *,
        model: str,
        prompts: Sequence[str],
        sampling: Sampling,
        include_usage: bool,
        conversation: Conversation | None = None,
    ) -> web.StreamResponse:
        behind = await self._models.find(model)
        objects = AnswerObjects(
            shape,
            answer_id=uuid.uuid4().hex,
            created_unix_s=int(time.time()),
            model=model,
            include_usage=include_usage,
        )
        async with AsyncExitStack() as started:
            running = []
            for prompt in prompts:
                generation = await self._start(request, behind, prompt, sampling, conversation)
                await started.enter_async_context(aclosing(generation))
                answer = Answer(
                    prompt=prompt,
                    max_tokens=sampling.max_tokens,
                    reader=self._dispatcher.text_reader(behind),
                    counter=self._counter,
                )
                running.append(Running(generation, answer))
            told = partial(told_headers, request, self._reader, running[0].generation)
            if not sampling.stream:
                return await write_whole(shape, objects, running, told)
            stream = EventStream(request, unread_bytes=self._limits.unread_bytes)
            writer = StreamWriter(stream, shape, objects, running, told)
            return await writer.write(include_usage=include_usage)

    async def _start(
        self,
        request: web.Request,
        model: str,
        prompt: str,
        sampling: Sampling,
        conversation: Conversation | None,
    ) -> Generation:
        compose = partial(self._dispatcher.compose, model, prompt, sampling)
        message = compose() if len(prompt) < _SLOW_CHARACTERS else await asyncio.to_thread(compose)
        message.id = request[REQUEST_ID]
        return begin(request, message, self._dispatcher, self._reader, conversation)

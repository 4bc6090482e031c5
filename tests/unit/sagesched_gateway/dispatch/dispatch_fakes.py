"""An upstream, a predictor and an engine probe that do what a test tells them, in this process."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable

from sagesched_gateway.dispatch.capacity import CapacityModel, EngineSettings
from sagesched_gateway.dispatch.dispatcher import Dispatcher
from sagesched_gateway.dispatch.ports import (
    EngineGauges,
    EngineLimits,
    Prediction,
    PredictionListener,
    PredictorState,
    SilentTelemetry,
    Tracing,
)
from sagesched_gateway.dispatch.queue_limits import QueueLimits
from sagesched_gateway.dispatch.token_count import TokenCounter
from sagesched_gateway.errors import GatewayError, InvalidRequestError
from sagesched_gateway.kserve import ModelInferRequest, ModelInferResponse, ModelMetadataResponse
from sagesched_gateway.request import Chunk, GenerationRequest, Metadata, StopOrderError
from sagesched_gateway.scheduling.capacity import KvPolicy
from sagesched_gateway.scheduling.scheduler import NO_PRESSURE
from sagesched_gateway.scheduling.settings import PolicySettings, PressureSettings
from sagesched_gateway.text import Sampling, TextReader
from sagesched_predictor.distribution import LengthDistribution
from sagesched_predictor.features import Outcome, PromptFeatures


def a_message(
    prompt: str = "hello",
    *,
    id: str = "c1",
    max_tokens: int = 100,
    model: str = "text",
    prompt_tokens: int | None = None,
    streams: bool = True,
    can_be_cancelled: bool = True,
) -> ModelInferRequest:
    """A request that `FakeUpstream` reads."""
    message = ModelInferRequest(model_name=model, id=id)
    message.parameters["prompt"].string_param = prompt
    message.parameters["max_tokens"].int64_param = max_tokens
    message.parameters["streams"].bool_param = streams
    message.parameters["can_be_cancelled"].bool_param = can_be_cancelled
    if prompt_tokens is not None:
        message.parameters["prompt_tokens"].int64_param = prompt_tokens
    return message


async def ticks(number: int = 20) -> None:
    """Let everything that is ready run."""
    for _ in range(number):
        await asyncio.sleep(0)


async def until(condition: Callable[[], object]) -> None:
    """Wait for a state of the code under test, which tells nobody when it is reached."""
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.001)


class FakeCall:
    """A running request; the test plays the engine."""

    def __init__(self, request: GenerationRequest) -> None:
        self.request = request
        self.num_cancels = 0
        self.ends_when_cancelled = False
        self._chunks: deque[Chunk] = deque()
        self._news = asyncio.Event()

    async def __aiter__(self) -> AsyncIterator[Chunk]:
        while True:
            await self._news.wait()
            self._news.clear()
            while self._chunks:
                chunk = self._chunks.popleft()
                yield chunk
                if chunk.final:
                    return

    async def cancel(self) -> None:
        self.num_cancels += 1
        if self.ends_when_cancelled:
            self.end()

    def token(self, number: int = 1, *, final: bool = False, input_tokens: int | None = None) -> None:
        response = ModelInferResponse(model_name=self.request.model, id=self.request.client_id)
        self._put(Chunk(response, number, final, None, input_tokens))

    def end(self) -> None:
        self._put(Chunk(None, final=True))

    def fail(self, error: GatewayError) -> None:
        self._put(Chunk(None, final=True, error=error))

    def _put(self, chunk: Chunk) -> None:
        self._chunks.append(chunk)
        self._news.set()


class FakeUpstream:
    """Model `text` generates, `once` generates and is not decoupled; others are unknown."""

    def __init__(self) -> None:
        self.calls: list[FakeCall] = []
        self.counts_tokens = True
        self.refuses_with: GatewayError | None = None

    def is_generation(self, model_name: str) -> bool:
        return model_name in ("text", "once")

    def is_decoupled(self, model_name: str) -> bool:
        return model_name == "text"

    async def resolve(self, model_name: str) -> bool:
        if self.refuses_with is not None:
            raise self.refuses_with
        return self.is_generation(model_name)

    async def metadata(self, model_name: str) -> ModelMetadataResponse:
        return ModelMetadataResponse(name=model_name)

    def read(
        self, message: ModelInferRequest, body: bytes, upstream_id: str, metadata: Metadata
    ) -> GenerationRequest:
        parameters = message.parameters
        if "stop" in parameters:
            raise StopOrderError(message.id)
        if "prompt" not in parameters:
            raise InvalidRequestError("no prompt")
        known = parameters["prompt_tokens"].int64_param if "prompt_tokens" in parameters else None
        return GenerationRequest(
            upstream_id=upstream_id,
            client_id=message.id,
            model=message.model_name,
            prompt=parameters["prompt"].string_param,
            prompt_tokens=known,
            max_tokens=parameters["max_tokens"].int64_param,
            body=body,
            counts_tokens=self.counts_tokens,
            streams=parameters["streams"].bool_param,
            can_be_cancelled=parameters["can_be_cancelled"].bool_param,
            metadata=metadata,
        )

    def text_outputs(self, model_name: str) -> frozenset[str]:
        return frozenset({"words"})

    def text_models(self) -> tuple[str, ...]:
        return ("text", "once")

    def compose(self, model: str, prompt: str, sampling: Sampling) -> ModelInferRequest:
        return a_message(prompt, model=model, max_tokens=sampling.max_tokens)

    def text_reader(self, model: str) -> TextReader:
        raise NotImplementedError

    def open(self, request: GenerationRequest) -> FakeCall:
        self.calls.append(FakeCall(request))
        return self.calls[-1]

    @property
    def started(self) -> list[str]:
        """Prompts in the order they were sent."""
        return [call.request.prompt for call in self.calls]

    def call(self, prompt: str) -> FakeCall:
        """The latest call of a prompt."""
        return next(call for call in reversed(self.calls) if call.request.prompt == prompt)


class FakePredictor:
    """Keeps what it is asked and told."""

    is_on = True

    def __init__(self) -> None:
        self.asked: dict[str, PromptFeatures] = {}
        self.observed: list[tuple[str, Outcome]] = []
        self.listener: PredictionListener | None = None

    def listen(self, listener: PredictionListener) -> None:
        self.listener = listener

    def predict(self, request_id: str, features: PromptFeatures) -> None:
        self.asked[request_id] = features

    def observe(self, request_id: str, features: PromptFeatures, outcome: Outcome) -> None:
        self.observed.append((features.prompt, outcome))

    def state(self) -> PredictorState:
        return PredictorState(mode="HistoryOnly", state="ready")

    def answer(self, prompt: str, *lengths: float) -> None:
        """Predict the lengths for a prompt that was asked about."""
        assert self.listener is not None
        request_id = next(id for id, features in self.asked.items() if features.prompt == prompt)
        distribution = LengthDistribution.from_samples(lengths) if lengths else None
        prediction = Prediction(distribution=distribution, source="history", neighbours=3, seconds=0.01)
        self.listener.predicted(request_id, prediction)


class CountingTelemetry(SilentTelemetry):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.finished: list[tuple[str, int]] = []
        self.queue_s: list[float] = []
        self.failures: list[str] = []

    def request_started(self, queue_s: float) -> None:
        self.queue_s.append(queue_s)

    def request_finished(self, outcome: str, ttlt_s: float, output_tokens: int) -> None:
        self.finished.append((outcome, output_tokens))

    def prediction_failed(self, reason: str) -> None:
        self.failures.append(reason)


class FakeProbe:
    """Tells the limits and gauges a test sets."""

    def __init__(self) -> None:
        self.limits_now = EngineLimits()
        self.gauges_now: EngineGauges | None = None
        self.num_looks = 0

    async def limits(self) -> EngineLimits:
        return self.limits_now

    async def gauges(self) -> EngineGauges | None:
        self.num_looks += 1
        return self.gauges_now


class Bench:
    """A dispatcher with everything around it faked."""

    def __init__(
        self,
        *,
        slots: int = 1,
        policy: str = "fcfs",
        kv_blocks: int | None = None,
        max_num_tokens: int | None = None,
        block_tokens: int | None = None,
        kv_policy: KvPolicy | None = None,
        headroom: float | None = None,
        pressure: PressureSettings = NO_PRESSURE,
        limits: QueueLimits | None = None,
        until_back: Callable[[], Awaitable[bool]] | None = None,
        tracing: Tracing | None = None,
    ) -> None:
        self.upstream = FakeUpstream()
        self.predictor = FakePredictor()
        self.telemetry = CountingTelemetry()
        self.counter = TokenCounter()
        settings = EngineSettings(
            slots=slots,
            lookahead=0,
            kv_blocks=kv_blocks,
            max_num_tokens=max_num_tokens,
            block_tokens=block_tokens,
            kv_policy=kv_policy,
            kv_headroom_iterations=headroom,
        )
        self.capacity = CapacityModel(settings)
        self.dispatcher = Dispatcher(
            upstream=self.upstream,
            predictor=self.predictor,
            telemetry=self.telemetry,
            counter=self.counter,
            capacity=self.capacity,
            policy=PolicySettings(name=policy),
            pressure=pressure,
            limits=limits,
            until_back=until_back,
            tracing=tracing,
        )

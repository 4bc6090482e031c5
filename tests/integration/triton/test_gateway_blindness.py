"""Nothing derived from the true output lengths reaches the gateway before the answers themselves do."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc.aio
import pytest

sys.path.insert(0, str(Path(__file__).parent))

from gateway_process import Exchange, settings_for

from sagesched_emulator.answers import write_answers
from sagesched_emulator.demo.scenario import client_view
from sagesched_emulator.load import LoadRequest, generate_message
from sagesched_emulator.tokenizer import TOKENIZER_PATH
from sagesched_emulator.trace import TraceRequest
from sagesched_emulator.triton_server import TritonServer
from sagesched_gateway.dispatch.ports import Prediction
from sagesched_gateway.gateway import Gateway
from sagesched_gateway.kserve import SERVICE, ModelInferRequest
from sagesched_gateway.scheduling.events import Submitted
from sagesched_gateway.settings.config import parse_config
from sagesched_predictor.features import Outcome, PromptFeatures
from sagesched_predictor.training.export import export_encoder

NUM_FLUSHES = 2
NUM_PAST = 10  # of each prompt: enough for the predictor to speak


def a_trace(lengths: dict[str, int]) -> list[TraceRequest]:
    """Prompts with true lengths, in order of arrival."""
    return [
        TraceRequest(
            id=str(place),
            prompt=prompt,
            prompt_tokens=12,
            max_tokens=2048,
            arrival_s=0.0,
            output_tokens=tokens,
        )
        for place, (prompt, tokens) in enumerate(lengths.items())
    ]


class Recording:
    """All that the gateway is told and all that it concludes: bytes, counts, predictions."""

    def __init__(self, gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
        self.lines: list[object] = []
        self.quantiles: list[list[float]] = []
        self._dispatcher = gateway.dispatcher
        self._originals = (
            self._dispatcher.generate,
            self._dispatcher._questions.predicted,
            self._dispatcher._scheduler.handle,
        )
        monkeypatch.setattr(self._dispatcher, "generate", self._generate)
        monkeypatch.setattr(self._dispatcher._questions, "predicted", self._predicted)
        monkeypatch.setattr(self._dispatcher._scheduler, "handle", self._handle)

    def models(self, gateway: Gateway) -> None:
        """What Triton has told of its models."""
        for name in ("ensemble", "tensorrt_llm"):
            description = gateway._watch._catalog.description(name)
            for told in (description.metadata, description.config):
                self.lines.append(told.SerializeToString(deterministic=True))

    def _generate(self, message: ModelInferRequest, **options: Any) -> object:
        self.lines.append((message.SerializeToString(deterministic=True), options["metadata"]))
        return self._originals[0](message, **options)

    def _predicted(self, request_id: str, prediction: Prediction) -> None:
        self.lines.append((_number(request_id), prediction.source))
        self.quantiles.append([prediction.distribution.quantile(level / 10) for level in range(1, 10)])
        self._originals[1](request_id, prediction)

    def _handle(self, event: object, now: float) -> object:
        if isinstance(event, Submitted):
            self.lines.append((_number(event.job_id), event.prompt_tokens, event.max_tokens))
        return self._originals[2](event, now)


def _number(job_id: str) -> int:
    """Ids count arrivals, after what is drawn anew at each start."""
    return int(job_id.rpartition("-")[2])


async def reached(condition: Callable[[], bool]) -> None:
    """Wait for a state of the gateway."""
    while not condition():  # noqa: ASYNC110
        await asyncio.sleep(0.005)


@asynccontextmanager
async def a_gateway(triton: TritonServer) -> AsyncIterator[Gateway]:
    settings = settings_for(
        triton,
        scheduling={"policy": "ssjf"},
        engine={"slots": 1, "lookahead": 0},
        tokenizer=str(TOKENIZER_PATH),  # an estimate would depend on when the first prompt's count arrives
        predictor={"mode": "HistoryOnly", "encoder": str(export_encoder())},
    )
    gateway = Gateway(parse_config(settings))
    await gateway.start()
    try:
        await reached(lambda: gateway.dispatcher.snapshot().predictor.state == "ready")
        yield gateway
    finally:
        await gateway.close()


async def view_of(
    triton: TritonServer, requests: tuple[LoadRequest, ...], monkeypatch: pytest.MonkeyPatch
) -> tuple[list[object], list[list[float]]]:
    """What a gateway has seen and concluded once all wait behind the first, and none is answered."""
    async with a_gateway(triton) as gateway, asyncio.timeout(60):
        counters = gateway.dispatcher.snapshot
        for place, request in enumerate(requests):  # a past that both worlds share
            features = PromptFeatures(prompt=request.prompt, prompt_tokens=12, model="ensemble")
            past = Outcome(output_tokens=50 + place, censored=False)
            for number in range(NUM_PAST):
                gateway._predictor.observe(f"{place}/{number}", features, past)
        for number in range(NUM_FLUSHES):  # who asks is served before what was observed just before
            gateway._predictor.predict(f"flush/{number}", features)
            await reached(lambda n=number: counters().counters.get("predictions", 0) > n)
        recording = Recording(gateway, monkeypatch)
        recording.models(gateway)
        async with grpc.aio.insecure_channel(gateway.addresses.grpc) as channel:
            stream = channel.stream_stream(f"/{SERVICE}/ModelStreamInfer")
            calls = [stream() for _ in requests]
            for number, (call, request) in enumerate(zip(calls, requests, strict=True)):
                await call.write(generate_message(request, "ensemble"))
                await reached(lambda n=number: counters().counters.get("predictions", 0) > NUM_FLUSHES + n)
            assert "completed" not in counters().counters
            for call in calls:
                call.cancel()
        return recording.lines, recording.quantiles


async def test_two_worlds_that_differ_in_true_lengths_look_the_same(
    direct_triton, known, tmp_path, monkeypatch
):
    """Equal prompts, other true lengths: until an answer ends, a gateway cannot tell the worlds apart.

    Compared is its whole view: every byte of every request, what Triton says of its models, the counts and
    the predictions that order the queue.
    """
    prompts = (known.very_long, known.short, known.longer_than_it_looks)
    true = {prompt.prompt: prompt.output_tokens[0] for prompt in prompts}
    other = {prompt: tokens // 2 + 40 for prompt, tokens in true.items()}
    requests = client_view(a_trace(true))
    assert requests == client_view(a_trace(other))
    write_answers(tmp_path / "answers.jsonl", a_trace(other))
    view, predicted = await view_of(direct_triton, requests, monkeypatch)
    with TritonServer("slot-bound", time_scale=0.5, answers=tmp_path / "answers.jsonl") as other_triton:
        other_view, other_predicted = await view_of(other_triton, requests, monkeypatch)
        message = ModelInferRequest.FromString(generate_message(requests[1], "ensemble"))
        answers = [
            len(await asyncio.to_thread(Exchange(triton.grpc_address, message).rest))
            for triton in (direct_triton, other_triton)
        ]
    assert answers == [true[known.short.prompt], other[known.short.prompt]], "the worlds do differ"
    assert len(view) == 4 + 3 * len(requests)
    assert view == other_view
    # Embeddings made together differ in their last digits from those made apart, and predictions follow.
    for one, other_one in zip(predicted, other_predicted, strict=True):
        assert one == pytest.approx(other_one, rel=1e-3)

"""The models with an engine inside: the emulated engine behind the tensor contract of one kind of model.

Three threads: Triton's calls `execute`, which only reads tensors and posts; the engine's runs iterations on
the wall clock and sends responses; housekeeping looks after cancels, metrics and the report.

The files of true answers and of the report come by environment variables: a model's configuration can be
read by every client.
"""

from __future__ import annotations

import itertools
import json
import os
import sys
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

import triton_python_backend_utils as pb_utils

from sagesched_emulator.answers import Answers
from sagesched_emulator.engine import Engine
from sagesched_emulator.engine_report import ReportWriter
from sagesched_emulator.profiles import profile
from sagesched_emulator.tokenizer import EmulatorTokenizer
from sagesched_emulator.triton_model.answer_text import AnswerText
from sagesched_emulator.triton_model.contract import Contract, TokenContract
from sagesched_emulator.triton_model.delivery import Delivery, Open
from sagesched_emulator.triton_model.generation import Generation, GenerationTensors, InvalidTensorError
from sagesched_emulator.triton_model.housekeeping import Housekeeping
from sagesched_emulator.triton_model.llmapi_contract import LlmApiContract
from sagesched_emulator.triton_model.metrics import EngineMetrics
from sagesched_emulator.triton_model.requests import wants_stop
from sagesched_emulator.triton_model.triton_inputs import inputs_of
from sagesched_emulator.triton_model.variables import ANSWERS_VARIABLE, REPORT_VARIABLE
from sagesched_emulator.triton_model.vllm_contract import VllmContract
from sagesched_emulator.wall_clock import EngineLoop, StopRequest, Submission, WallClock

SWITCH_INTERVAL_S = 0.0005
"""Python's default lets a thread that reads tensors keep the engine's waiting for 5 ms."""


class EngineModel(ABC):
    """Triton's face of the engine."""

    def initialize(self, args: dict[str, str]) -> None:
        """Start the engine that the model's parameters describe."""
        sys.setswitchinterval(SWITCH_INTERVAL_S)
        config = json.loads(args["model_config"])
        parameters = {name: str(value["string_value"]) for name, value in config["parameters"].items()}
        self._profile = profile(parameters["emulator_profile"])
        self._is_decoupled = bool(config["model_transaction_policy"]["decoupled"])
        answers = os.environ.get(ANSWERS_VARIABLE)
        self._answers = Answers.load(Path(answers)) if answers else Answers()
        self._tokenizer = EmulatorTokenizer()
        self._text = AnswerText(self._tokenizer)
        self._clock = WallClock(float(parameters["emulator_time_scale"]))
        self._contract = self._make_contract()
        report = ReportWriter(Path(os.environ[REPORT_VARIABLE]), self._clock.time_scale)
        self._delivery = Delivery(self._contract, report)
        engine = Engine(self._profile, int(parameters["emulator_stream_interval"]))
        self._orders = itertools.count()
        self._max_queue_size = int(parameters.get("emulator_max_queue_size", 0))
        metrics = None
        if self._contract.has_metrics:
            metrics = EngineMetrics(args["model_name"], args["model_version"], self._profile.max_batch_size)
        self._loop = EngineLoop(engine, self._clock, self._delivery.on_tick)
        self._housekeeping = Housekeeping(self._delivery, metrics, report, self._stop, self._clock.time_scale)

    @abstractmethod
    def _make_contract(self) -> Contract:
        """The tensors of this kind of model."""

    def execute(self, requests: list[Any]) -> None:
        """Take requests in; responses follow from the engine's thread."""
        for request in requests:
            sender = request.get_response_sender()
            try:
                self._take_in(request, sender)
            except InvalidTensorError as error:
                _send_last(sender, self._contract.refusal(error))

    def finalize(self) -> None:
        """Stop the threads; the report is complete afterwards."""
        self._loop.close()
        self._housekeeping.close()

    def _take_in(self, request: Any, sender: Any) -> None:
        tensors = inputs_of(request)
        client_id: str = request.request_id()
        if self._contract.stops_by_id and wants_stop(tensors):
            if not client_id:
                raise InvalidTensorError("Trying to stop a request but request ID is not provided")
            self._stop_client_id(client_id)
            _send_last(sender, self._contract.stopped())
            return
        self._submit(self._contract.read(request, tensors), client_id, sender)

    def _submit(self, inputs: GenerationTensors, client_id: str, sender: Any) -> None:
        most = self._profile.max_batch_size + self._max_queue_size
        if self._max_queue_size and len(self._delivery.entries()) >= most:
            _send_last(sender, _queue_full(self._max_queue_size))
            return
        at = self._clock.now()
        prompt = self._tokenizer.decode(inputs.prompt_ids.tolist())
        answer = self._answers.next(prompt)
        order = next(self._orders)
        generation = Generation(
            order=order,
            client_id=client_id,
            tensors=inputs,
            prompt_tokens=answer.prompt_tokens or inputs.prompt_ids.size,
            text_offset=self._text.offset(prompt),
            submitted_at=at,
        )
        engine_id = str(order)
        self._delivery.open(engine_id, Open(generation, sender))
        self._loop.post(
            Submission(
                at=at,
                request_id=engine_id,
                prompt_tokens=generation.prompt_tokens,
                max_tokens=inputs.max_tokens,
                output_tokens=max(answer.output_tokens, inputs.min_tokens),
            )
        )

    def _stop_client_id(self, client_id: str) -> None:
        """End the requests that bear the id; when there are none they have ended already."""
        for engine_id, entry in self._delivery.entries():
            if entry.generation.client_id == client_id:
                self._stop(engine_id)

    def _stop(self, engine_id: str) -> None:
        self._loop.post(StopRequest(self._clock.now(), engine_id))


class TokenModel(EngineModel):
    """`tensorrt_llm` of the classic repository: token ids in, token ids out."""

    def _make_contract(self) -> Contract:
        return TokenContract(self._text, self._clock, self._profile.block_tokens)


class LlmApiModel(EngineModel):
    """`tensorrt_llm` on the LLM API: text in, text out."""

    def _make_contract(self) -> Contract:
        return LlmApiContract(self._text, self._tokenizer, decoupled=self._is_decoupled)


class VllmModel(EngineModel):
    """A model of the vLLM backend: text in, text out."""

    def _make_contract(self) -> Contract:
        return VllmContract(self._text, self._tokenizer)


def _queue_full(max_queue_size: int) -> Any:
    message = f"Maximum queue size of {max_queue_size} has been reached, please try again later"
    return pb_utils.InferenceResponse([], pb_utils.TritonError(message))


def _send_last(sender: Any, response: Any) -> None:
    sender.send(response, flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)

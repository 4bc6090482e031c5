"""The `tensorrt_llm` model: the emulated engine behind the tensor contract of TensorRT-LLM's backend.

Three threads: Triton's calls `execute`, which only reads tensors and posts; the engine's runs iterations on
the wall clock and sends responses; housekeeping looks after cancels, metrics and the report.
"""

from __future__ import annotations

import itertools
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils

from sagesched_emulator.answers import Answers
from sagesched_emulator.engine import Engine
from sagesched_emulator.engine_report import ReportWriter
from sagesched_emulator.profiles import profile
from sagesched_emulator.tokenizer import EmulatorTokenizer
from sagesched_emulator.triton_model.answer_text import AnswerText
from sagesched_emulator.triton_model.delivery import Delivery, Open
from sagesched_emulator.triton_model.generation import Generation, InvalidTensorError
from sagesched_emulator.triton_model.housekeeping import Housekeeping
from sagesched_emulator.triton_model.metrics import EngineMetrics
from sagesched_emulator.triton_model.requests import Tensors, read_generation, wants_stop
from sagesched_emulator.wall_clock import EngineLoop, StopRequest, Submission, WallClock

REQUIRED_OUTPUTS = ("output_ids", "sequence_length")

SWITCH_INTERVAL_S = 0.0005
"""Python's default lets a thread that reads tensors keep the engine's waiting for 5 ms."""


class EngineModel:
    """Triton's face of the engine."""

    def initialize(self, args: dict[str, str]) -> None:
        """Start the engine that the model's parameters describe."""
        sys.setswitchinterval(SWITCH_INTERVAL_S)
        given = json.loads(args["model_config"])["parameters"]
        parameters = {name: str(value["string_value"]) for name, value in given.items()}
        engine_profile = profile(parameters["emulator_profile"])
        answers = parameters["emulator_answers"]
        self._answers = Answers.load(Path(answers)) if answers else Answers()
        self._tokenizer = EmulatorTokenizer()
        self._text = AnswerText(self._tokenizer)
        self._clock = WallClock(float(parameters["emulator_time_scale"]))
        report = ReportWriter(Path(parameters["emulator_report"]), self._clock.time_scale)
        self._delivery = Delivery(self._text, self._clock, report, engine_profile.block_tokens)
        engine = Engine(engine_profile, int(parameters["emulator_stream_interval"]))
        self._orders = itertools.count()
        metrics = EngineMetrics(args["model_name"], args["model_version"], engine_profile.max_batch_size)
        self._loop = EngineLoop(engine, self._clock, self._delivery.on_tick)
        self._housekeeping = Housekeeping(self._delivery, metrics, report, self._stop, self._clock.time_scale)

    def execute(self, requests: list[Any]) -> None:
        """Take requests in; responses follow from the engine's thread."""
        for request in requests:
            sender = request.get_response_sender()
            try:
                self._take_in(request, sender)
            except InvalidTensorError as error:
                _send_last(sender, pb_utils.InferenceResponse([], pb_utils.TritonError(str(error))))

    def finalize(self) -> None:
        """Stop the threads; the report is complete afterwards."""
        self._loop.close()
        self._housekeeping.close()

    def _take_in(self, request: Any, sender: Any) -> None:
        tensors = _inputs(request)
        client_id: str = request.request_id()
        if wants_stop(tensors):
            if not client_id:
                raise InvalidTensorError("Trying to stop a request but request ID is not provided")
            self._stop_client_id(client_id)
            _send_last(sender, pb_utils.InferenceResponse([]))
            return
        _check_outputs(request.requested_output_names())
        self._submit(tensors, client_id, sender)

    def _submit(self, tensors: Tensors, client_id: str, sender: Any) -> None:
        at = self._clock.now()
        inputs = read_generation(tensors)
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


def _inputs(request: Any) -> Tensors:
    def tensor(name: str) -> np.ndarray[Any, Any] | None:
        found = pb_utils.get_input_tensor_by_name(request, name)
        return None if found is None else found.as_numpy()

    return tensor


def _check_outputs(names: list[str]) -> None:
    """As the real backend does: a client that lists outputs lists these two."""
    for required in REQUIRED_OUTPUTS:
        if names and required not in names:
            raise InvalidTensorError(f"{required} tensor must be present in list of output tensors")


def _send_last(sender: Any, response: Any) -> None:
    sender.send(response, flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)

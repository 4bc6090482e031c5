"""All that a caller tells of a request reaches the predictor, by every face.

A recording holds what the predictor was given, word for word.
"""

from __future__ import annotations

import json
import sys
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import openai
import pytest
import tritonclient.grpc as triton_grpc

sys.path.insert(0, str(Path(__file__).parent))

from gateway_process import WAIT_S, Exchange, GatewayProcess, settings_for, until

from sagesched_emulator.tokenizer import TOKENIZER_PATH
from sagesched_gateway.kserve import ModelInferRequest

TEMPLATE = (
    "{% for message in messages %}<{{ message.role }}>{{ message.content }}{% endfor %}<assistant><think>\n"
)
TOOLS = '<system># Tools\n<tools>{"name": "weather"}</tools><user>Rain?'
SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}}

Line = dict[str, Any]


class Recorded:
    """A gateway that records, and the line of each request."""

    def __init__(self, triton: Any, folder: Path) -> None:
        (folder / "tokenizer.json").write_bytes(TOKENIZER_PATH.read_bytes())
        (folder / "tokenizer_config.json").write_text(json.dumps({"chat_template": TEMPLATE}))
        self._file = folder / "recording.jsonl"
        recorder = {"file": str(self._file), "prompts": "Keep"}
        self.gateway = GatewayProcess(settings_for(triton, tokenizer=str(folder), recorder=recorder), folder)

    def line_after(self, ask: Callable[[], object]) -> Line:
        """The line of the request that is made meanwhile."""
        num_before = len(self._lines())
        ask()
        until(lambda: len(self._lines()) > num_before)
        line: Line = json.loads(self._lines()[-1])
        return line

    def _lines(self) -> list[str]:
        return self._file.read_text().splitlines() if self._file.exists() else []


@pytest.fixture(scope="module")
def classic(direct_triton, tmp_path_factory) -> Iterator[Recorded]:
    recorded = Recorded(direct_triton, tmp_path_factory.mktemp("features"))
    recorded.gateway.wait_ready()
    yield recorded
    recorded.gateway.close()


@pytest.fixture(scope="module")
def vllm(vllm_triton, tmp_path_factory) -> Iterator[Recorded]:
    recorded = Recorded(vllm_triton, tmp_path_factory.mktemp("features-vllm"))
    recorded.gateway.wait_ready()
    yield recorded
    recorded.gateway.close()


def told(line: Line) -> Line:
    names = (
        "prompt",
        "system_prompt",
        "max_tokens",
        "temperature",
        "top_p",
        "has_tools",
        "wants_json",
        "thinking",
    )
    return {name: line[name] for name in names if line.get(name) not in (None, "")}


def the_client(recorded: Recorded) -> openai.OpenAI:
    url = f"http://{recorded.gateway.http_address}/v1"
    return openai.OpenAI(base_url=url, api_key="none", max_retries=0, timeout=WAIT_S)


def test_a_chat_brings_its_parts_its_sampling_and_what_its_template_shows(classic):
    with the_client(classic) as client:
        line = classic.line_after(
            lambda: client.chat.completions.create(
                model="ensemble",
                messages=[
                    {"role": "system", "content": "Be brief."},
                    {"role": "user", "content": "Count."},
                ],
                max_tokens=9,
                temperature=0.25,
                top_p=0.75,
                response_format={"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA}},
            )
        )
    assert told(line) == {
        "prompt": "Count.",
        "system_prompt": "Be brief.",
        "max_tokens": 9,
        "temperature": 0.25,
        "top_p": 0.75,
        "wants_json": True,
        "thinking": True,
    }
    assert line["model"] == "ensemble"
    assert line["prompt_tokens"] > 5


def test_a_completion_brings_what_a_clients_own_template_shows(classic):
    with the_client(classic) as client:
        line = classic.line_after(
            lambda: client.completions.create(model="ensemble", prompt=TOOLS, max_tokens=8, temperature=0)
        )
    assert told(line) == {"prompt": TOOLS, "max_tokens": 8, "temperature": 0.0, "has_tools": True}


def test_tritons_grpc_brings_the_same(classic):
    line = classic.line_after(
        lambda: Exchange(
            classic.gateway.grpc_address,
            a_message(
                text_input=TOOLS,
                max_tokens=np.int32(7),
                temperature=np.float32(0.5),
                top_p=np.float32(0.75),
                guided_decoding_guide_type="json_schema",
                guided_decoding_guide=json.dumps(SCHEMA),
            ),
        ).rest()
    )
    assert told(line) == {
        "prompt": TOOLS,
        "max_tokens": 7,
        "temperature": 0.5,
        "top_p": 0.75,
        "has_tools": True,
        "wants_json": True,
    }


def test_tritons_http_brings_the_same(classic):
    asked = {"text_input": "Why?<think>", "max_tokens": 6, "temperature": 0.5, "top_k": 1}
    line = classic.line_after(lambda: generate(classic, "ensemble", asked))
    # One candidate is greedy, whatever the temperature.
    assert told(line) == {"prompt": "Why?<think>", "max_tokens": 6, "temperature": 0.0, "thinking": True}


def test_vllms_parameters_bring_the_same(vllm):
    sampling = {"max_tokens": 5, "temperature": 0.5, "top_p": 0.25, "guided_json": SCHEMA}
    asked = {"text_input": TOOLS, "stream": False, "sampling_parameters": json.dumps(sampling)}
    line = vllm.line_after(lambda: generate(vllm, "vllm_model", asked))
    assert told(line) == {
        "prompt": TOOLS,
        "max_tokens": 5,
        "temperature": 0.5,
        "top_p": 0.25,
        "has_tools": True,
        "wants_json": True,
    }


def generate(recorded: Recorded, model: str, body: Line) -> None:
    request = urllib.request.Request(
        f"http://{recorded.gateway.http_address}/v2/models/{model}/generate", json.dumps(body).encode()
    )
    with urllib.request.urlopen(request, timeout=WAIT_S) as answer:
        answer.read()


def a_message(**inputs: Any) -> ModelInferRequest:
    message = ModelInferRequest(model_name="ensemble", id="mine")
    for name, value in inputs.items():
        array = np.array([[value.encode() if isinstance(value, str) else value]])
        kind = {"S": "BYTES", "i": "INT32", "f": "FP32"}[array.dtype.kind]
        tensor = triton_grpc.InferInput(name, [1, 1], kind)
        tensor.set_data_from_numpy(array.astype(np.object_) if kind == "BYTES" else array)
        message.inputs.append(
            ModelInferRequest.InferInputTensor.FromString(tensor._get_tensor().SerializeToString())
        )
        message.raw_input_contents.append(tensor._get_content())
    return message

"""What a client sends to each kind of model: a serialized ModelInferRequest that asks for a stream."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import cache

import numpy as np
from tritonclient.grpc.service_pb2 import ModelInferRequest

from sagesched_emulator.tokenizer import EmulatorTokenizer

TEXT = "text"
"""`ensemble` and `tensorrt_llm_bls`."""

TOKENS = "tokens"
"""`tensorrt_llm`: the client is its own tokenizer."""

LLMAPI = "llmapi"
VLLM = "vllm"

_Content = tuple[str, str, list[int], bytes]
_TRUE = b"\x01"


def text_message(model: str, id: str, prompt: str, max_tokens: int) -> bytes:
    """For the classic text models."""
    return _message(
        model,
        id,
        [
            ("text_input", "BYTES", [1, 1], _text(prompt)),
            ("max_tokens", "INT32", [1, 1], _int32(max_tokens)),
            ("stream", "BOOL", [1, 1], _TRUE),
            ("exclude_input_in_output", "BOOL", [1, 1], _TRUE),
        ],
    )


def token_message(model: str, id: str, prompt: str, max_tokens: int) -> bytes:
    """For the classic engine model."""
    ids = _tokenizer().encode(prompt)
    return _message(
        model,
        id,
        [
            ("input_ids", "INT32", [1, len(ids)], np.array(ids, np.int32).tobytes()),
            ("input_lengths", "INT32", [1, 1], _int32(len(ids))),
            ("request_output_len", "INT32", [1, 1], _int32(max_tokens)),
            ("streaming", "BOOL", [1, 1], _TRUE),
            ("exclude_input_in_output", "BOOL", [1, 1], _TRUE),
        ],
    )


def llmapi_message(model: str, id: str, prompt: str, max_tokens: int) -> bytes:
    """For the LLM API's model."""
    return _message(
        model,
        id,
        [
            ("text_input", "BYTES", [1], _text(prompt)),
            ("sampling_param_max_tokens", "INT32", [1], _int32(max_tokens)),
            ("streaming", "BOOL", [1], _TRUE),
            ("sampling_param_exclude_input_from_output", "BOOL", [1], _TRUE),
        ],
    )


def vllm_message(model: str, id: str, prompt: str, max_tokens: int) -> bytes:
    """For a model of the vLLM backend."""
    sampling = json.dumps({"max_tokens": max_tokens})
    return _message(
        model,
        id,
        [
            ("text_input", "BYTES", [1], _text(prompt)),
            ("sampling_parameters", "BYTES", [1], _text(sampling)),
            ("stream", "BOOL", [1], _TRUE),
        ],
    )


KINDS: dict[str, Callable[[str, str, str, int], bytes]] = {
    TEXT: text_message,
    TOKENS: token_message,
    LLMAPI: llmapi_message,
    VLLM: vllm_message,
}
"""Kind -> message of (model, id, prompt, max_tokens)."""


def _message(model: str, id: str, contents: Sequence[_Content]) -> bytes:
    message = ModelInferRequest(model_name=model, id=id)
    for name, datatype, shape, raw in contents:
        message.inputs.add(name=name, datatype=datatype, shape=shape)
        message.raw_input_contents.append(raw)
    serialized: bytes = message.SerializeToString()
    return serialized


def _text(text: str) -> bytes:
    encoded = text.encode("utf-8")
    return len(encoded).to_bytes(4, "little") + encoded


def _int32(value: int) -> bytes:
    return value.to_bytes(4, "little")


@cache
def _tokenizer() -> EmulatorTokenizer:
    return EmulatorTokenizer()

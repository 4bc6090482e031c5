"""The kinds of models, each with a server, and requests to them as their own clients write them."""

from __future__ import annotations

import json
import struct
from typing import NamedTuple

from sagesched_emulator.tokenizer import EmulatorTokenizer
from sagesched_emulator.triton_model.answer_text import AnswerText
from sagesched_gateway.kserve import ModelInferRequest

MIXED = "你好，世界！🙂🙂🙂"  # answered in characters that are spread over tokens
PLAIN = "Describe a river in the morning."
NUM_TOKENS = 40


class Case(NamedTuple):
    """A kind of model: the server's fixture, the model, its flag for streams, its counts."""

    server: str
    model: str
    stream_input: str
    tells_counts: bool = True


CASES = {
    "ensemble": Case("direct_triton", "ensemble", "stream"),
    "bls": Case("bls_triton", "tensorrt_llm_bls", "stream"),
    "llmapi": Case("llmapi_triton", "tensorrt_llm", "streaming", tells_counts=False),
    "vllm": Case("vllm_triton", "vllm_model", "stream"),
}


def true_text(prompt: str, num_tokens: int) -> str:
    """What the emulated model says, bytes of a last half character as U+FFFD."""
    tokenizer = EmulatorTokenizer()
    text = AnswerText(tokenizer)
    ids = text.tokens(text.offset(prompt), 0, num_tokens)
    return tokenizer.decode(ids.tolist())


def a_request(case: Case, prompt: str, *, stream: bool, max_tokens: int = NUM_TOKENS) -> ModelInferRequest:
    """As a client of this kind of model writes it."""
    message = ModelInferRequest(model_name=case.model, id="mine")
    is_flat = case.model in ("tensorrt_llm", "vllm_model")

    def add(name: str, kind: str, value: bytes) -> None:
        message.inputs.add(name=name, datatype=kind, shape=[1] if is_flat else [1, 1])
        message.raw_input_contents.append(value)

    add("text_input", "BYTES", _element(prompt))
    add(case.stream_input, "BOOL", struct.pack("<?", stream))
    if case.model == "vllm_model":
        add("sampling_parameters", "BYTES", _element(json.dumps({"max_tokens": max_tokens})))
    else:
        name = "sampling_param_max_tokens" if case.model == "tensorrt_llm" else "max_tokens"
        add(name, "INT32", struct.pack("<i", max_tokens))
    return message


def _element(text: str) -> bytes:
    return struct.pack("<I", len(text.encode())) + text.encode()

"""Messages and bodies that cannot be right, for the gateway or Triton to refuse."""

from __future__ import annotations

import random
from collections.abc import Iterator

from tritonclient.grpc.service_pb2 import ModelInferRequest

_PATHS = ("/v2/models/ensemble/generate_stream", "/v2/models/ensemble/generate", "/v1/completions")
_BODIES = (
    b"",
    b"{",
    b"null",
    b"[" * 10_000,
    b'{"text_input": 1e999}',
    b'{"text_input": "Hello.", "max_tokens": "many"}',
    b'{"text_input": "Hello.", "max_tokens": -1}',
    b'{"model": "nobody", "prompt": "Hello.", "max_tokens": 2}',
    b'{"model": "ensemble", "prompt": "Hello.", "max_tokens": 0}',
    b"\xff\xfe" * 50,
    b'{"text_input": "' + b"x" * 300_000 + b'", "max_tokens": 2}',
)
HOSTILE_HTTP = tuple((path, body) for path in _PATHS for body in _BODIES)
"""Paths and bodies."""


def hostile_messages(good: ModelInferRequest, chance: random.Random, most_bytes: int) -> Iterator[bytes]:
    """A good message spoilt in various ways.

    Args:
        good: a request to the classic text model, in raw tensors.
        chance: of what is random.
        most_bytes: limit of the gateway for one message.
    """
    encoded: bytes = good.SerializeToString()
    yield chance.randbytes(chance.randint(1, 200))
    yield encoded[: chance.randint(len(encoded) // 2, len(encoded) - 1)]
    yield encoded + b"x" * most_bytes
    for spoil in (
        _no_cap,
        _short_cap,
        _float_cap,
        _negative_cap,
        _wide,
        _unknown_model,
        _reserved,
        _cut_text,
    ):
        message = ModelInferRequest()
        message.CopyFrom(good)
        spoil(message)
        spoilt: bytes = message.SerializeToString()
        yield spoilt


def _no_cap(message: ModelInferRequest) -> None:
    del message.inputs[1], message.raw_input_contents[1]


def _short_cap(message: ModelInferRequest) -> None:
    message.raw_input_contents[1] = b"\x05\x00"


def _float_cap(message: ModelInferRequest) -> None:
    message.inputs[1].datatype = "FP32"


def _negative_cap(message: ModelInferRequest) -> None:
    message.raw_input_contents[1] = b"\xff\xff\xff\xff"


def _wide(message: ModelInferRequest) -> None:
    message.inputs[1].shape[:] = [1, 1 << 40]


def _unknown_model(message: ModelInferRequest) -> None:
    message.model_name = "nobody"


def _reserved(message: ModelInferRequest) -> None:
    message.parameters["triton_of_mine"].string_param = "x"


def _cut_text(message: ModelInferRequest) -> None:
    message.raw_input_contents[0] = b"\xff\xff\xff\x7fabc"

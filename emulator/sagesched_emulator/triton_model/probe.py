"""The first questions to a Triton that is starting: is it ready, and do its models answer?"""

from __future__ import annotations

import http.client
import json

HTTP_TIMEOUT_S = 10.0


class NotAnsweringError(RuntimeError):
    """A model did not answer as it should."""


def is_ready(http_port: int) -> bool:
    """Whether the server answers that all models are ready."""
    try:
        return _http_status(http_port, "GET", "/v2/health/ready") == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False


WARM_UP: dict[str, dict[str, dict[str, object]]] = {
    "classic": {
        "preprocessing/generate": {"QUERY": "warm up", "REQUEST_OUTPUT_LEN": 1},
        "postprocessing/generate": {"TOKENS_BATCH": [[0]], "SEQUENCE_LENGTH": [1]},
        "tensorrt_llm/generate": {"id": "warm-up", "stop": True, "input_lengths": 0, "request_output_len": 0},
    },
    "llmapi": {"tensorrt_llm/generate": {"text_input": ""}},
    "vllm": {"vllm_model/generate": {"text_input": ""}},
}
REFUSING = frozenset({"llmapi", "vllm"})
"""Layouts whose models can only be asked for text: they are asked for an answer to nothing, and refuse."""


def warm_up(http_port: int, layout: str) -> None:
    """Send each model a request that the engine never sees.

    The first request to a model of the Python backend takes some tenths of a second inside Triton, which
    would otherwise be charged to the first measured ones.

    Raises:
        NotAnsweringError: a model did not answer.
    """
    for path, body in WARM_UP[layout].items():
        try:
            status = _http_status(http_port, "POST", f"/v2/models/{path}", json.dumps(body))
        except (OSError, http.client.HTTPException) as error:
            raise NotAnsweringError(f"{path} did not answer its first request: {error}") from error
        if status != http.HTTPStatus.OK and layout not in REFUSING:
            raise NotAnsweringError(f"{path} answered its first request with HTTP status {status}")


def _http_status(http_port: int, method: str, path: str, body: str | None = None) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", http_port, timeout=HTTP_TIMEOUT_S)
    try:
        connection.request(method, path, body)
        answer = connection.getresponse()
        answer.read()
        return answer.status
    finally:
        connection.close()

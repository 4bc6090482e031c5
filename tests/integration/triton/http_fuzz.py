"""What the fuzz of the HTTP entrance sends, and what it demands of every answer."""

from __future__ import annotations

import http.client
import json
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

WAIT_S = 10.0
STATUSES = {400, 403, 404, 405, 413, 501}
"""Of the gateway's own errors, where nothing but the request is wrong."""

a_few = settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def check(status: int, headers: http.client.HTTPMessage, body: bytes) -> None:
    """The gateway's own errors have a word, and none of them is its own fault; the rest is Triton's."""
    if "x-sagesched-error" in headers:
        word = headers["x-sagesched-error"]
        assert status in STATUSES or word == "upstream-error"
        assert word != "internal"
        assert json.loads(body).keys() == {"error"}


def post(address: str, path: str, body: bytes, headers: dict[str, str] | None = None) -> None:
    """Send one request and check its answer."""
    connection = http.client.HTTPConnection(address, timeout=WAIT_S)
    try:
        connection.request("POST", path, body, headers or {})
        answer = connection.getresponse()
        check(answer.status, answer.headers, answer.read())
    finally:
        connection.close()


values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
"""Any JSON, and the numbers that only Python takes for JSON."""

short = values.filter(lambda value: not isinstance(value, int) or isinstance(value, bool) or value < 3)
"""A whole request may come together by chance: then its answer is short."""


def infer_bodies(*names: str) -> st.SearchStrategy[dict[str, Any]]:
    """Requests to `infer`, more or less; `names` are inputs."""
    parameters = st.dictionaries(
        st.sampled_from(
            [
                "binary_data_size",
                "binary_data",
                "shared_memory_region",
                "shared_memory_offset",
                "classification",
            ]
        ),
        short,
        max_size=2,
    )
    tensors = st.fixed_dictionaries(
        {},
        optional={
            "name": st.sampled_from(names) | values,
            "datatype": st.sampled_from(["BYTES", "INT32", "FP16", "NONE"]) | values,
            "shape": st.lists(st.integers(-2, 3), max_size=3) | values,
            "data": st.lists(st.text(max_size=5) | st.integers(max_value=3), max_size=3) | values,
            "parameters": parameters | values,
        },
    )
    whole = st.fixed_dictionaries(
        {
            "name": st.sampled_from(names),
            "datatype": st.sampled_from(["BYTES", "INT32"]),
            "shape": st.just([1]),
            "data": st.lists(st.text(max_size=5) | st.integers(max_value=3), min_size=1, max_size=1),
        }
    )
    return st.fixed_dictionaries(
        {},
        optional={
            "id": values,
            "inputs": st.lists(tensors | whole, max_size=3) | values,
            "outputs": st.lists(tensors, max_size=2) | values,
            "parameters": st.dictionaries(st.text(max_size=8), short, max_size=2) | values,
        },
    )

"""`infer` of a model that generates text and answers once, through the real HTTP server."""

from __future__ import annotations

import asyncio
import gzip
import json
import zlib

import numpy as np
import pytest
import tritonclient.http as triton_http

from sagesched_gateway.api.attributes import AttributeReader
from sagesched_gateway.errors import UpstreamUnavailableError
from sagesched_gateway.request import NO_ATTRIBUTES, StopOrderError
from sagesched_gateway.settings.sections.attributes import AttributesConfig
from sagesched_gateway.settings.sections.limits import LimitsConfig
from sagesched_predictor.distribution import LengthDistribution

INFER = "/v2/models/once/infer"
BODY = {"inputs": [{"name": "text_input", "datatype": "BYTES", "shape": [1], "data": ["hi"]}]}
PLAIN = {"Accept-Encoding": "identity"}
JSON_ANSWER = (
    b'{"model_name":"ensemble","model_version":"1","parameters":{"sequence_id":0},"outputs":['
    b'{"name":"text_output","datatype":"BYTES","shape":[1,1],"data":["hello"]}]}'
)


def binary_body() -> tuple[bytes, dict[str, str]]:
    tensor = triton_http.InferInput("text_input", [1], "BYTES")
    tensor.set_data_from_numpy(np.array([b"hi"], dtype=np.object_))
    body, head_bytes = triton_http.InferenceServerClient.generate_request_body([tensor])
    return bytes(body), {"Inference-Header-Content-Length": str(head_bytes)}


async def test_json_in_json_out(client, dispatcher):
    async with client.post(
        "/v2/models/once/versions/3/infer", json=BODY | {"id": "q"}, headers=PLAIN
    ) as answer:
        assert answer.status == 200
        assert answer.headers["Content-Type"] == "application/json"
        assert answer.headers["x-sagesched-queue-time"] == "0.250000"
        assert "Inference-Header-Content-Length" not in answer.headers
        assert await answer.read() == JSON_ANSWER
    message = dispatcher.messages[0]
    assert (message.model_name, message.model_version, message.id) == ("once", "3", "q")
    assert list(message.raw_input_contents) == [b"\x02\0\0\0hi"]


async def test_the_classes_of_a_text_are_refused_for_any_model(client, triton):
    """Triton dies of it; what is not wanted so reaches it as it came."""
    path = "/v2/models/talker/infer"
    for output in ({"name": "words"}, {"name": "numbers", "parameters": {"classification": 1}}):
        body = json.dumps(BODY | {"outputs": [output]}).encode()
        async with client.post(path, data=body) as answer:
            assert await answer.read() == b"from Triton"
        assert triton.requests[-1][2] == body
    async with client.post(path, data=b"raw", headers={"Inference-Header-Content-Length": "0"}) as answer:
        assert await answer.read() == b"from Triton"
    asked = BODY | {"outputs": [{"name": "words", "parameters": {"classification": 1}}]}
    for headers, pack in (({}, bytes), ({"Content-Encoding": "gzip"}, gzip.compress)):
        async with client.post(path, data=pack(json.dumps(asked).encode()), headers=headers) as answer:
            assert (answer.status, answer.headers["x-sagesched-error"]) == (400, "unsupported")
    assert len(triton.requests) == 3


async def test_binary_in_binary_out(client, dispatcher):
    body, headers = binary_body()
    async with client.post(INFER, data=body, headers=headers | PLAIN) as answer:
        assert answer.status == 200
        assert answer.headers["Content-Type"] == "application/octet-stream"
        head_bytes = int(answer.headers["Inference-Header-Content-Length"])
        result = triton_http.InferenceServerClient.parse_response_body(
            await answer.read(), header_length=head_bytes
        )
    assert result.as_numpy("text_output").tolist() == [[b"hello"]]
    assert list(dispatcher.messages[0].raw_input_contents) == [b"\x02\0\0\0hi"]


@pytest.mark.parametrize(("encoding", "pack"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
async def test_compressed_bodies_are_taken(client, dispatcher, encoding, pack):
    body, headers = binary_body()
    headers["Content-Encoding"] = encoding
    async with client.post(INFER, data=pack(body), headers=headers) as answer:
        assert answer.status == 200
    assert list(dispatcher.messages[0].raw_input_contents) == [b"\x02\0\0\0hi"]


@pytest.mark.parametrize(("encoding", "unpack"), [("gzip", gzip.decompress), ("deflate", zlib.decompress)])
async def test_answers_are_compressed_on_demand(client, encoding, unpack):
    async with client.post(INFER, json=BODY, headers={"Accept-Encoding": encoding}) as answer:
        assert answer.headers["Content-Encoding"] == encoding
        packed = await answer.read()
        assert int(answer.headers["Content-Length"]) == len(packed)
        assert unpack(packed) == JSON_ANSWER


async def test_a_decoupled_model_is_left_to_triton(client, dispatcher, triton):
    triton.status = 400
    async with client.post("/v2/models/ensemble/infer", json=BODY) as answer:
        assert answer.status == 400
        assert await answer.read() == b"from Triton"
    assert dispatcher.messages == []


async def test_a_stop_order_reaches_triton_as_it_came(client, dispatcher, triton):
    dispatcher.refusal = StopOrderError("q")
    body, headers = binary_body()
    packed = gzip.compress(body)
    headers["Content-Encoding"] = "gzip"
    async with client.post(INFER, data=packed, headers=headers) as answer:
        assert await answer.read() == b"from Triton"
    assert triton.requests[0][2] == packed
    assert triton.requests[0][3]["Content-Encoding"] == "gzip"


@pytest.mark.parametrize("number", [0, 2])
async def test_not_one_response_is_our_fault(client, dispatcher, respond, number):
    dispatcher.responses = [respond("a")] * number
    async with client.post(INFER, json=BODY) as answer:
        assert answer.status == 500
        assert await answer.json() == {"error": f"expected a single response, got {number}"}


async def test_errors_have_a_status_and_a_time_to_come_back(client, dispatcher):
    dispatcher.responses = []
    dispatcher.error = UpstreamUnavailableError("Triton is away")
    async with client.post(INFER, json=BODY) as answer:
        assert answer.status == 503
        assert answer.headers["x-sagesched-error"] == "upstream-unavailable"
        assert answer.headers["Retry-After"] == "1"
        assert answer.headers["retry-after-ms"] == "1000"


@pytest.mark.parametrize(
    ("body", "headers", "complaint"),
    [
        (b"nope", {}, "failed to parse the request JSON buffer"),
        (b"{}", {"Inference-Header-Content-Length": "3"}, "inference header size should be in range (0, 2)"),
        (b"{}", {"Content-Encoding": "br"}, "Unsupported compression type"),
        (b"{}", {"Content-Encoding": "gzip"}, "cannot be decompressed"),
    ],
)
async def test_what_cannot_be_read_is_the_callers_fault(client, dispatcher, body, headers, complaint):
    async with client.post(INFER, data=body, headers=headers) as answer:
        assert answer.status == 400
        assert answer.headers["x-sagesched-error"] == "invalid-request"
        assert complaint in (await answer.json())["error"]
    assert dispatcher.messages == []


@pytest.mark.parametrize("options", [{"limits": LimitsConfig(message_bytes=1000)}])
async def test_a_bomb_is_too_large(client):
    packed = gzip.compress(bytes(100_000))
    async with client.post(INFER, data=packed, headers={"Content-Encoding": "gzip"}) as answer:
        assert answer.status == 413
        assert answer.headers["x-sagesched-error"] == "too-large"


async def test_a_caller_who_leaves_while_queued_cancels(client, dispatcher):
    dispatcher.responses = []
    dispatcher.holds_open = True
    asking = asyncio.create_task(client.post(INFER, json=BODY))
    await asyncio.wait_for(dispatcher.started.wait(), 5)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    await asyncio.wait_for(dispatcher.closed.wait(), 5)


TRUSTING = {"reader": AttributeReader(AttributesConfig(trusted_networks=("127.0.0.0/8",)))}
SAID = {"x-sagesched-tenant": "a", "x-sagesched-priority": "3", "x-sagesched-deadline": "9"}


@pytest.mark.parametrize("options", [TRUSTING])
@pytest.mark.parametrize("path", [INFER, "/v2/models/ensemble/generate"])
async def test_a_trusted_caller_is_believed(client, dispatcher, path):
    own = {"parameters": {"x-sagesched-tenant": "b", "x-sagesched-report": True, "kept": 1}}
    body = (BODY if path == INFER else {"text_input": "hi", "max_tokens": 5}) | own
    async with client.post(path, json=body, headers=SAID) as answer:
        assert answer.status == 200
    seen = dispatcher.attributes_seen[0]
    # The request's own words win over the headers.
    assert (seen.tenant, seen.priority, seen.deadline_s, seen.wants_report) == ("b", 3, 9.0, True)
    assert list(dispatcher.messages[0].parameters) == ["kept"]


@pytest.mark.parametrize("path", [INFER, "/v2/models/ensemble/generate"])
async def test_anybody_else_is_not_and_nothing_private_reaches_triton(client, dispatcher, path):
    own = {"parameters": {"x-sagesched-tenant": "b"}}
    body = (BODY if path == INFER else {"text_input": "hi", "max_tokens": 5}) | own
    async with client.post(path, json=body, headers=SAID | {"x-sagesched-priority": "nonsense"}) as answer:
        assert answer.status == 200
    assert dispatcher.attributes_seen == [NO_ATTRIBUTES]
    assert list(dispatcher.messages[0].parameters) == []


@pytest.mark.parametrize("options", [TRUSTING])
async def test_nonsense_of_a_trusted_caller_is_told(client):
    async with client.post(INFER, json=BODY, headers={"x-sagesched-priority": "high"}) as answer:
        assert answer.status == 400
        assert "x-sagesched-priority must be a whole number" in json.loads(await answer.read())["error"]


TOLD = AttributesConfig(trusted_networks=("127.0.0.0/8",), expose_prediction=True)
PREDICTED = LengthDistribution.from_pairs([(10, 0.5), (20, 0.4), (200, 0.1)])


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"reader": AttributeReader(TOLD)}, ("10", "20")),
        (TRUSTING, (None, None)),
        ({"reader": AttributeReader(AttributesConfig(expose_prediction=True))}, (None, None)),
    ],
)
@pytest.mark.parametrize("verb", ["once/infer", "ensemble/generate", "ensemble/generate_stream"])
async def test_only_the_trusted_are_told_what_is_predicted(client, dispatcher, verb, told):
    dispatcher.predicted = PREDICTED
    body = BODY if verb == "once/infer" else {"text_input": "hi", "max_tokens": 5}
    async with client.post(f"/v2/models/{verb}", json=body) as answer:
        assert answer.status == 200
        quantiles = [answer.headers.get(f"x-sagesched-predicted-{name}") for name in ("p50", "p90")]
    assert tuple(quantiles) == told

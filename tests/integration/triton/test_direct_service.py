"""What Triton says about the emulated models, its HTTP side, its metrics, and the engine's report."""

from __future__ import annotations

import json
import queue
import urllib.request
from typing import Any

import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families
from tritonclient import grpc as triton_grpc

from sagesched_emulator.engine_report import LATE_SLACK_S, MAX_LATE_P99_S, MAX_LATE_SHARE
from sagesched_emulator.triton_server import TritonServer

HTTP_S = 30.0
ENGINE_FAMILIES = {
    "nv_trt_llm_request_metrics": {"active", "max", "scheduled", "context", "waiting"},
    "nv_trt_llm_runtime_memory_metrics": {"cpu", "gpu", "pinned"},
    "nv_trt_llm_kv_cache_block_metrics": {"max", "free", "used", "tokens_per", "reused", "fraction"},
    "nv_trt_llm_inflight_batcher_metrics": {
        "total_context_tokens",
        "generation_requests",
        "micro_batch_id",
        "paused_requests",
    },
    "nv_trt_llm_general_metrics": {"timestamp", "iteration_counter"},
}


def post(address: str, path: str, body: dict[str, Any]) -> str:
    request = urllib.request.Request(f"http://{address}/v2/models/{path}", json.dumps(body).encode())
    with urllib.request.urlopen(request, timeout=HTTP_S) as answer:
        return str(answer.read().decode())


@pytest.fixture
def client(direct_triton: TritonServer) -> Any:
    with triton_grpc.InferenceServerClient(direct_triton.grpc_address) as client:
        yield client


@pytest.mark.parametrize(
    ("model", "inputs", "outputs"),
    [
        ("ensemble", {"text_input", "max_tokens", "stream", "return_num_output_tokens"}, {"text_output"}),
        ("tensorrt_llm", {"input_ids", "stop", "streaming", "retention_decode_priority"}, {"output_ids"}),
        ("preprocessing", {"QUERY", "REQUEST_OUTPUT_LEN"}, {"INPUT_ID", "REQUEST_INPUT_LEN"}),
        ("postprocessing", {"TOKENS_BATCH", "SEQUENCE_LENGTH"}, {"OUTPUT"}),
    ],
)
def test_metadata_lists_the_tensors(client: Any, model: str, inputs: set[str], outputs: set[str]) -> None:
    metadata = client.get_model_metadata(model, as_json=True)
    assert inputs <= {tensor["name"] for tensor in metadata["inputs"]}
    assert outputs <= {tensor["name"] for tensor in metadata["outputs"]}


def test_ensemble_has_neither_stop_nor_priority(client: Any) -> None:
    metadata = client.get_model_metadata("ensemble", as_json=True)
    assert not {"stop", "priority", "early_stopping"} & {tensor["name"] for tensor in metadata["inputs"]}


def test_engine_configuration_tells_its_limits(client: Any) -> None:
    config = client.get_model_config("tensorrt_llm", as_json=True)["config"]
    assert config["max_batch_size"] == 32
    assert config["model_transaction_policy"]["decoupled"] is True
    parameters = {name: value["string_value"] for name, value in config["parameters"].items()}
    assert parameters["batch_scheduler_policy"] == "max_utilization"
    assert parameters["exclude_input_in_output"] == "false"


def test_generate(direct_triton: TritonServer, known: Any) -> None:
    body = {"text_input": known.short.prompt, "max_tokens": 20, "exclude_input_in_output": True}
    answer = json.loads(post(direct_triton.http_address, "ensemble/generate", body))
    assert answer["model_name"] == "ensemble"
    assert answer["text_output"].strip()


def test_generate_stream(direct_triton: TritonServer, known: Any) -> None:
    body = {"text_input": known.short.prompt, "max_tokens": 6, "stream": True}
    events = post(direct_triton.http_address, "ensemble/generate_stream", body).split("\n\n")
    texts = [json.loads(event.removeprefix("data: "))["text_output"] for event in events if event]
    assert len(texts) == 6


def test_tritonclient_streams_unchanged(client: Any, known: Any) -> None:
    came: queue.Queue[tuple[Any, Any]] = queue.Queue()
    client.start_stream(callback=lambda result, error: came.put((result, error)))
    inputs = []
    for name, kind, value in [
        ("text_input", "BYTES", np.array([[known.short.prompt.encode()]], dtype=np.object_)),
        ("max_tokens", "INT32", np.array([[50]], dtype=np.int32)),
        ("stream", "BOOL", np.array([[True]])),
    ]:
        inputs.append(triton_grpc.InferInput(name, list(value.shape), kind))
        inputs[-1].set_data_from_numpy(value)
    client.async_stream_infer("ensemble", inputs, request_id="c", enable_empty_final_response=True)
    num_chunks, final = 0, False
    while not final:
        result, error = came.get(timeout=HTTP_S)
        assert error is None
        final = result.get_response().parameters["triton_final_response"].bool_param
        num_chunks += 1
    client.stop_stream()
    assert num_chunks == 12  # the last one carries data and the flag: nothing empty follows


def test_metrics_of_the_engine(direct_triton: TritonServer, open_stream: Any, known: Any) -> None:
    list(open_stream("ensemble", text_input=known.short.prompt, max_tokens=60, min_tokens=60))
    with urllib.request.urlopen(f"http://{direct_triton.metrics_address}/metrics", timeout=HTTP_S) as page:
        families = {family.name: family for family in text_string_to_metric_families(page.read().decode())}
    for name, kinds in ENGINE_FAMILIES.items():
        samples = families[name].samples
        assert {sample.labels["model"] for sample in samples} == {"tensorrt_llm"}
        values = {label for sample in samples for label in sample.labels.values()}
        assert kinds <= values
    gauges = {
        value: sample.value
        for name in ENGINE_FAMILIES
        for sample in families[name].samples
        for label, value in sample.labels.items()
        if label not in ("model", "version")
    }
    assert gauges["tokens_per"] == 32
    assert gauges["iteration_counter"] > 0
    assert gauges["scheduled"] >= 1
    lengths = {sample.name: sample.value for sample in families["nv_llm_output_token_len"].samples}
    assert lengths["nv_llm_output_token_len_count"] >= 1


def test_report_judges_lateness_by_its_rule(
    direct_triton: TritonServer, open_stream: Any, known: Any
) -> None:
    list(open_stream("ensemble", text_input=known.short.prompt, max_tokens=20))
    report = direct_triton.report()
    assert report.iterations > 0
    assert report.time_scale == 0.5
    assert 0 <= report.late_p50_s <= report.late_p99_s
    assert report.valid == (report.late_share < MAX_LATE_SHARE and report.late_p99_s < MAX_LATE_P99_S)
    assert report.valid == (not report.why_invalid())
    assert LATE_SLACK_S == 0.005
    assert 0 < report.busy_share <= 1
    assert report.samples[0].scheduled >= 1

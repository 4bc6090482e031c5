from __future__ import annotations

import dataclasses
import re

import pytest
from prometheus_client import generate_latest

from sagesched_gateway.dispatch.ports import DispatchSnapshot, PredictorState, Telemetry
from sagesched_gateway.metrics import MAX_MODELS, GatewayMetrics, SnapshotCollector
from sagesched_gateway.settings.config import parse_config
from sagesched_gateway.settings.live import LiveSettings

SETTINGS = LiveSettings(parse_config({"predictor": {"mode": "None"}, "limits": {"queuedRequests": 7}}))
SNAPSHOT = DispatchSnapshot(
    queued=5,
    queued_bytes=4321,
    in_flight=3,
    policy="gittins-boost",
    backlog_s=12.5,
    gamma=0.25,
    slots=32,
    kv_blocks_reserved=40,
    kv_blocks=750,
    iteration_s=0.011,
    draining=False,
    predictor=PredictorState(
        mode="HistoryOnly",
        state="ready",
        provider="CPUExecutionProvider",
        fallback="no CUDA",
        history=9,
        restarts=1,
    ),
    counters={"retried": 2},
)


def value_of(metrics: GatewayMetrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(name, labels)


@pytest.fixture
def metrics() -> GatewayMetrics:
    return GatewayMetrics()


def watched(metrics: GatewayMetrics, **changes: object) -> None:
    state = dataclasses.replace(SNAPSHOT, **changes)
    metrics.registry.register(SnapshotCollector(lambda: state, SETTINGS, version="0.1.0"))


def test_telemetry_moves_totals_and_distributions(metrics):
    telemetry: Telemetry = metrics
    telemetry.request_received("ensemble")
    telemetry.request_refused("queue-full")
    telemetry.responses_sent(9)
    metrics.attributes_ignored()
    telemetry.request_started(0.3)
    telemetry.first_token(0.4)
    telemetry.request_finished("completed", 7.0, 100)
    telemetry.prediction_done("history", 0.004)
    telemetry.prediction_failed("timeout")
    telemetry.rekeyed()
    assert value_of(metrics, "sagesched_gateway_requests_received_total", model="ensemble") == 1
    assert value_of(metrics, "sagesched_gateway_requests_refused_total", reason="queue-full") == 1
    assert value_of(metrics, "sagesched_gateway_responses_total") == 9
    assert value_of(metrics, "sagesched_gateway_attributes_ignored_total") == 1
    assert value_of(metrics, "sagesched_gateway_queue_seconds_sum") == 0.3
    assert value_of(metrics, "sagesched_gateway_time_to_first_token_seconds_sum") == 0.4
    assert value_of(metrics, "sagesched_gateway_time_to_last_token_seconds_sum") == 7.0
    assert value_of(metrics, "sagesched_gateway_output_tokens_sum") == 100
    assert value_of(metrics, "sagesched_gateway_requests_finished_total", outcome="completed") == 1
    assert value_of(metrics, "sagesched_predictor_predictions_total", source="history") == 1
    assert value_of(metrics, "sagesched_predictor_seconds_count") == 1
    assert value_of(metrics, "sagesched_predictor_failures_total", reason="timeout") == 1
    assert value_of(metrics, "sagesched_gateway_rekeys_total") == 1


def test_a_cancelled_request_has_no_last_token(metrics):
    metrics.request_finished("cancelled", 7.0, 3)
    assert value_of(metrics, "sagesched_gateway_time_to_last_token_seconds_count") == 0
    assert value_of(metrics, "sagesched_gateway_output_tokens_sum") == 3


def test_labels_take_few_values(metrics):
    for number in range(MAX_MODELS + 10):
        metrics.request_received(f"model-{number}")
    metrics.request_finished("never-fits", 0.0, 0)
    metrics.request_finished("wibble", 0.0, 0)
    metrics.prediction_done("wibble", 0.1)
    metrics.prediction_failed("wibble")
    assert value_of(metrics, "sagesched_gateway_requests_received_total", model="other") == 10
    assert value_of(metrics, "sagesched_gateway_requests_finished_total", outcome="never-fits") == 1
    assert value_of(metrics, "sagesched_gateway_requests_finished_total", outcome="other") == 1
    assert value_of(metrics, "sagesched_predictor_predictions_total", source="other") == 1
    assert value_of(metrics, "sagesched_predictor_failures_total", reason="other") == 1


def test_states_are_read_at_each_scrape(metrics):
    watched(metrics)
    assert value_of(metrics, "sagesched_gateway_queued_requests") == 5
    assert value_of(metrics, "sagesched_gateway_queued_bytes") == 4321
    assert value_of(metrics, "sagesched_gateway_queued_requests_limit") == 7
    assert value_of(metrics, "sagesched_gateway_queued_bytes_limit") == 512 * 2**20
    assert value_of(metrics, "sagesched_gateway_config_valid") == 1
    assert value_of(metrics, "sagesched_gateway_config_settings_waiting") == 0
    assert value_of(metrics, "sagesched_gateway_in_flight_requests") == 3
    assert value_of(metrics, "sagesched_gateway_backlog_seconds") == 12.5
    assert value_of(metrics, "sagesched_gateway_tail_rate") == 0.25
    assert value_of(metrics, "sagesched_gateway_policy_info", policy="gittins-boost") == 1
    assert value_of(metrics, "sagesched_gateway_requests_retried_total") == 2
    assert value_of(metrics, "sagesched_gateway_engine_kv_blocks") == 750
    assert value_of(metrics, "sagesched_predictor_ready") == 1
    assert value_of(metrics, "sagesched_predictor_fallback") == 1
    assert value_of(metrics, "sagesched_predictor_restarts_total") == 1
    assert (
        value_of(metrics, "sagesched_gateway_build_info", version="0.1.0", config_digest=SETTINGS.digest) == 1
    )


def test_what_is_unknown_is_absent(metrics):
    watched(metrics, gamma=None, kv_blocks=None)
    assert value_of(metrics, "sagesched_gateway_tail_rate") is None
    assert value_of(metrics, "sagesched_gateway_engine_kv_blocks") is None


def test_every_series_has_a_prefix_a_meaning_and_no_creation_time(metrics):
    watched(metrics)
    text = generate_latest(metrics.registry).decode()
    names = re.findall(r"^# TYPE (\S+)", text, re.MULTILINE)
    assert len(names) == len(set(names))
    assert len(names) > 20
    for name in names:
        assert name.startswith(("sagesched_gateway_", "sagesched_predictor_"))
        assert not name.endswith("_created")
    for meaning in re.findall(r"^# HELP \S+ (.*)$", text, re.MULTILINE):
        assert meaning.endswith((".", "reason."))

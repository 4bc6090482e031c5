from __future__ import annotations

import json

import pytest

from sagesched_gateway.status import (
    SCHEMA,
    ConfigStatus,
    EngineStatus,
    GatewayStatus,
    PredictorStatus,
    QueueStatus,
    StatusError,
    parse_status,
    to_mapping,
)


def a_status() -> GatewayStatus:
    return GatewayStatus(
        ready=False,
        reason="draining",
        draining=True,
        policy="fcfs",
        configured_policy="gittins-boost",
        config_digest="ab" * 32,
        config=ConfigStatus(
            file_digest="cd" * 32, error="gateway.yaml:1: no", waits_for_restart=("tokenizer", "listen.grpc")
        ),
        queue=QueueStatus(queued=7, in_flight=3, backlog_s=1.5, gamma=0.1),
        engine=EngineStatus(slots=32, kv_blocks=750, kv_blocks_reserved=12, iteration_s=0.011),
        predictor=PredictorStatus(
            mode="HistoryOnly", state="ready", provider="CPUExecutionProvider", history=42
        ),
        counters={"received": 10},
        versions={"sagesched": "0.1.0"},
    )


def test_a_report_survives_json():
    assert parse_status(json.loads(json.dumps(to_mapping(a_status())))) == a_status()


def test_a_report_of_another_release_is_read():
    newer = to_mapping(a_status()) | {"weather": "fine", "schema": SCHEMA + 1}
    newer["queue"] = {"queued": 7, "colour": "red", "backlog_s": 2}
    status = parse_status(newer)
    assert status.queue == QueueStatus(queued=7, backlog_s=2.0)
    older = {"ready": True, "policy": "fcfs"}
    assert parse_status(older) == GatewayStatus(ready=True, policy="fcfs")


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"ready": 1}, "ready: unexpected 1"),
        ({"policy": None}, "policy: unexpected None"),
        ({"queue": {"queued": True}}, "queue.queued: unexpected True"),
        ({"queue": {"gamma": "x"}}, "queue.gamma: unexpected 'x'"),
        ({"queue": []}, "queue: must be a mapping, not list"),
        ({"config": {"waits_for_restart": "x"}}, "config.waits_for_restart: must be a list of words"),
        ({"queue": {"backlog_s": float("nan")}}, "queue.backlog_s: out of all bounds"),
        ({"predictor": {"coverage_90": float("inf")}}, "predictor.coverage_90: out of all bounds"),
        ({"engine": {"slots": 10**400}}, "engine.slots: out of all bounds"),
        ({"counters": 3}, "counters: must be a mapping, not int"),
    ],
)
def test_a_field_of_the_wrong_type_is_named(change, complaint):
    with pytest.raises(StatusError, match=complaint):
        parse_status(to_mapping(a_status()) | change)


def test_what_is_no_report_is_refused():
    with pytest.raises(StatusError, match="ready: missing"):
        parse_status({})
    with pytest.raises(StatusError, match="status: must be a mapping, not list"):
        parse_status([])

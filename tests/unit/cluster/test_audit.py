"""What is read out of an audit log."""

from __future__ import annotations

import json
from pathlib import Path

from cluster.audit import read_requests


def test_a_request_for_a_subresource_is_named_as_rbac_names_it(tmp_path: Path) -> None:
    event = {
        "auditID": "1",
        "user": {"username": "robot"},
        "verb": "patch",
        "requestReceivedTimestamp": "2026-01-01T00:00:00.000000Z",
        "objectRef": {
            "apiGroup": "apps",
            "resource": "deployments",
            "subresource": "scale",
            "namespace": "a",
            "name": "b",
        },
        "responseStatus": {"code": 200},
    }
    log = tmp_path / "audit.log"
    log.write_text(json.dumps(event) + "\n")
    [request] = read_requests(log)
    assert (request.group, request.resource, request.writes) == ("apps", "deployments/scale", True)


def test_a_question_about_no_resource_has_none(tmp_path: Path) -> None:
    event = {
        "user": {"username": "robot"},
        "auditID": "1",
        "verb": "get",
        "requestReceivedTimestamp": "",
        "requestURI": "/readyz",
    }
    log = tmp_path / "audit.log"
    log.write_text(json.dumps(event) + "\n")
    [request] = read_requests(log)
    assert (request.resource, request.code, request.writes) == ("", 0, False)


def test_a_watch_is_one_request_from_its_beginning_on(tmp_path: Path) -> None:
    begins = {"auditID": "1", "user": {"username": "robot"}, "verb": "watch", "requestReceivedTimestamp": ""}
    log = tmp_path / "audit.log"
    log.write_text(json.dumps(begins) + "\n")
    assert len(list(read_requests(log))) == 1
    log.write_text(2 * (json.dumps(begins) + "\n"))
    assert len(list(read_requests(log))) == 1


def test_a_log_that_does_not_exist_yet_is_empty(tmp_path: Path) -> None:
    assert list(read_requests(tmp_path / "audit.log")) == []

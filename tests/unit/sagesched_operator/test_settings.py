"""The gateway's settings as the operator renders them."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import yaml

sys.path.insert(0, str(Path(__file__).parent))

from builders import the_pool
from pool_cases import FIELDS

from sagesched_gateway.settings.config import digest, parse_config
from sagesched_gateway.settings.config_file import parse_config_text
from sagesched_operator.build.settings import restart_hash, settings_digest, settings_of, settings_text


@pytest.mark.parametrize("name", FIELDS)
def test_the_gateway_reads_what_the_operator_writes_and_both_know_it_by_the_same_digest(name):
    settings = settings_of(the_pool(FIELDS[name]))
    read = parse_config_text(settings_text(settings), "gateway.yaml")
    assert read == settings
    assert digest(read) == settings_digest(settings)
    assert parse_config(yaml.safe_load(settings_text(settings))) == settings


@pytest.mark.parametrize(
    "change",
    [
        {"scheduling": {"policy": "fcfs"}},
        {"scheduling": {"tailWeight": 3}},
        {"scheduling": {"deadlines": {"refuseBelow": 0.5}}},
        {"scheduling": {"tenants": {"weights": [{"name": "a", "weight": 2}]}}},
        {"gateway": {"queue": {"requests": 1, "seconds": 60}}},
        {"gateway": {"logLevel": "debug"}},
    ],
)
def test_what_applies_at_once_changes_the_digest_and_not_the_pods(change):
    before, after = settings_of(the_pool()), settings_of(the_pool(change))
    assert settings_digest(before) != settings_digest(after)
    assert restart_hash(before) == restart_hash(after)


@pytest.mark.parametrize(
    "change",
    [
        {"gateway": {"inFlight": 8}},
        {"gateway": {"connectionAgeSeconds": 5}},
        {"predictor": {"mode": "None"}},
        {"runtime": {"kvPolicy": "GuaranteedNoEvict"}},
        {"model": {"tokenizer": "tokenizer"}},
    ],
)
def test_what_waits_for_a_restart_changes_both(change):
    before, after = settings_of(the_pool()), settings_of(the_pool(change))
    assert restart_hash(before) != restart_hash(after)

"""What `render` refuses is what the API server refuses, in its words: the same pools go to both.

`tests/integration/operator/test_rejections.py` sends them to a real API server.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[2] / "integration" / "operator"))

from pool_cases import FIELDS, SMALLEST, a_pool, merged, spec_of
from rejected import REJECTED

from sagesched_operator.admission.refusals import refusals
from sagesched_operator.api.pool import parse_pool


@pytest.mark.parametrize("name", REJECTED)
def test_what_the_api_server_refuses_is_refused_in_the_same_words(name):
    change, words = REJECTED[name]
    told = refusals(a_pool(merged(SMALLEST, change)))
    assert any(words in text for text in told), told


@pytest.mark.parametrize("name", FIELDS)
def test_what_the_api_server_takes_is_taken(name):
    assert refusals(a_pool(spec_of(name))) == []


def test_nothing_is_nothing_as_a_number_and_as_a_percentage():
    for nothing in (0, "0%"):
        rollout = {"maxSurge": nothing, "maxUnavailable": 1}
        kept = {"predictor": {"history": {"snapshot": {"claimName": "h"}}}}
        assert refusals(a_pool(merged(SMALLEST, {"rollout": rollout, **kept}))) == []
    for nothing in (0, "0%", "00%"):
        assert refusals(a_pool(merged(SMALLEST, {"rollout": {"maxSurge": nothing}}))) != []


@pytest.mark.parametrize("name", ["Llama", "1llama", "a" * 51, "llama.cpp", ""])
def test_names_are_refused(name):
    (told,) = refusals(a_pool(SMALLEST, name=name))
    assert "metadata.name" in told


def test_everything_that_is_wrong_is_told_at_once():
    spec = merged(SMALLEST, {"scaling": {"actuator": "HPA"}, "rollout": {"maxSurge": 0}, "replicas": -1})
    paths = [text.partition(":")[0] for text in refusals(a_pool(spec))]
    assert paths == ["spec.replicas", "spec.scaling", "spec.rollout"]


PATHS = (
    *("model", "runtime.env", "runtime.args", "replicas", "gateway.inFlight", "gateway.tls", "podTemplate"),
    *("podTemplate.volumes", "scheduling.tenants", "scheduling.tailWeight", "rollout.maxSurge"),
)
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@settings(deadline=None)
@given(
    path=st.sampled_from(PATHS),
    value=_VALUES,
)
def test_whatever_is_written_is_refused_or_can_be_read(path, value):
    *sections, last = path.split(".")
    change = {last: value}
    for section in reversed(sections):
        change = {section: change}
    body = a_pool(merged(SMALLEST, change))
    if not refusals(body):
        parse_pool(body)

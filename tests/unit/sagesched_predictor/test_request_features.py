from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sagesched_predictor.features import PromptFeatures
from sagesched_predictor.request_features import NAMES, NUM_FEATURES, request_vector, request_vectors

PLAIN = PromptFeatures(prompt="List five rivers. Be brief, please?", prompt_tokens=9, max_tokens=64)


def value(features: PromptFeatures, name: str) -> float:
    return float(request_vector(features)[NAMES.index(name)])


@given(st.text(), st.integers(0, 10**9), st.integers(0, 10**9), st.one_of(st.none(), st.floats()))
def test_any_request_gives_finite_numbers_and_the_same_twice(
    prompt: str, prompt_tokens: int, max_tokens: int, sampling: float | None
) -> None:
    features = PromptFeatures(
        prompt=prompt,
        prompt_tokens=prompt_tokens,
        max_tokens=max_tokens,
        temperature=sampling,
        top_p=sampling,
    )
    vector = request_vector(features)
    assert (vector.dtype, vector.shape) == (np.float32, (NUM_FEATURES,))
    assert np.isfinite(vector).all()
    assert np.array_equal(vector, request_vector(features))


@pytest.mark.parametrize(
    "prompt",
    [
        "",
        " \n\t",
        "\n" * 200_000,
        "x" * 200_000,
        "word 12 " * 25_000,
        "😀🏳️‍🌈" * 500,
        "\ud800",
        bytes(range(256)).decode("latin-1") * 99,
    ],
    ids=["empty", "blank", "empty lines", "one word", "long", "emoji", "lone surrogate", "binary"],
)
def test_odd_prompts_cost_little(prompt: str) -> None:
    features = PromptFeatures(prompt=prompt, prompt_tokens=1)
    assert np.isfinite(request_vector(features)).all()
    fastest = min(_seconds(features) for _ in range(20))
    assert fastest < 0.005


def _seconds(features: PromptFeatures) -> float:
    started_at = time.perf_counter()
    request_vector(features)
    return time.perf_counter() - started_at


def test_each_thing_that_a_request_says_has_its_feature() -> None:
    assert value(PLAIN, "says_list") > 0
    assert value(PLAIN, "says_brief") > 0
    assert value(PLAIN, "ends_with_question") == 1
    assert value(PLAIN, "log_max_tokens") == pytest.approx(np.log1p(64))
    assert value(replace(PLAIN, max_tokens=0), "has_max_tokens") == 0
    assert value(replace(PLAIN, temperature=0.0), "temperature") == 0
    assert value(PLAIN, "temperature") == 1
    assert value(PLAIN, "has_temperature") == 0
    assert value(replace(PLAIN, top_p=0.25), "top_p") == 0.25
    assert value(replace(PLAIN, system_prompt="Be kind."), "log_system_characters") > 0
    for flag in ("has_tools", "wants_json", "thinking"):
        assert value(PLAIN, flag) == 0
        assert value(replace(PLAIN, **{flag: True}), flag) == 1
    assert value(replace(PLAIN, prompt="a 1 b 2"), "digits") == pytest.approx(2 / 7)
    assert value(replace(PLAIN, prompt="1. a\n2. b\n- c"), "list_marks") == pytest.approx(np.log1p(3))
    assert value(replace(PLAIN, prompt="\n \n\t1) a\n\n  -\n* b"), "list_marks") == pytest.approx(np.log1p(3))


def test_many_at_once_are_each_alone() -> None:
    other = replace(PLAIN, prompt="Why?")
    assert np.array_equal(request_vectors([PLAIN, other])[1], request_vector(other))
    assert request_vectors([]).shape == (0, NUM_FEATURES)


def test_names_are_distinct() -> None:
    assert len(set(NAMES)) == NUM_FEATURES == len(request_vector(PLAIN))

from __future__ import annotations

import numpy as np
import pytest

from sagesched_predictor.same_prompt import SAME_COSINE, are_same, prompt_numbers


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def test_as_many_tokens_and_nearly_the_same_vector() -> None:
    cosines = np.array([1.0, SAME_COSINE + 0.001, SAME_COSINE - 0.001, 1.0], dtype=np.float32)
    assert are_same(cosines, np.array([7, 7, 7, 8]), 7).tolist() == [True, True, False, False]


@pytest.mark.parametrize("times", [1, 3, 700])
def test_each_record_is_named_by_the_first_of_its_prompt(times: int) -> None:
    rng = np.random.default_rng(0)
    prompts, tokens = unit(rng.normal(size=(3, 32))), np.array([5, 5, 9])
    drawn = rng.permutation(np.repeat(np.arange(3), times))
    rounded = unit(prompts[drawn] + rng.normal(scale=0.01, size=(len(drawn), 32)))
    first = np.array([np.flatnonzero(drawn == prompt)[0] for prompt in range(3)])
    assert prompt_numbers(rounded, tokens[drawn]).tolist() == first[drawn].tolist()


def test_one_vector_of_other_lengths_is_other_prompts() -> None:
    assert prompt_numbers(np.ones((3, 1), dtype=np.float32), np.array([1, 2, 1])).tolist() == [0, 1, 0]


@pytest.mark.parametrize("times", [1, 600])
def test_a_prompt_of_which_the_encoder_says_nothing_is_like_no_other(times: int) -> None:
    rows = np.tile(np.array([[1, 0], [0, 0]], dtype=np.float32), (times, 1))
    expected = np.where(rows.any(axis=1), 0, np.arange(2 * times))
    assert prompt_numbers(rows, np.full(2 * times, 5)).tolist() == expected.tolist()


def test_nothing() -> None:
    assert prompt_numbers(np.zeros((0, 4), dtype=np.float32), np.zeros(0, dtype=np.int64)).size == 0

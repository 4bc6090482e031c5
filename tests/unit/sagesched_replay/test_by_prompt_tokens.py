"""What counting alone can know."""

from dataclasses import replace

import pytest

from sagesched_emulator.trace import TraceRequest
from sagesched_replay.by_prompt_tokens import FEWEST, ByPromptTokens

ONE = TraceRequest(id="a", prompt="", prompt_tokens=100, max_tokens=999, arrival_s=0.0, output_tokens=10)


def test_it_knows_the_answers_to_prompts_of_a_size_once_there_are_enough() -> None:
    knowledge = ByPromptTokens()
    assert knowledge.pool() is None
    assert knowledge.predict(ONE) is None
    news = [knowledge.observe(ONE) for _ in range(FEWEST)]
    assert [one is not None for one in news] == [False] * (FEWEST - 1) + [True]
    for _ in range(FEWEST):
        knowledge.observe(replace(ONE, prompt_tokens=5000, output_tokens=700))
    small, big, unseen = (knowledge.predict(replace(ONE, prompt_tokens=size)) for size in (70, 4100, 1))
    assert small is not None
    assert big is not None
    assert unseen is not None
    assert small.mean == pytest.approx(10)
    assert big.mean == pytest.approx(700)
    assert unseen.mean == pytest.approx(10)  # as of the latest refresh of all

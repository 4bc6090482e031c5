"""A bursty trace as it was recorded elsewhere: how many requests arrive in each few seconds."""

from __future__ import annotations

import random

from bed.load import Request
from sagesched_emulator.answers import Answers

WINDOW_S = 5.0
AZURE_CODE_2023 = (29, 43, 6, 0, 0, 0, 0, 0, 0, 0, 19, 33, 36, 35, 28, 4, 17, 29, 70, 35, 33, 9, 0, 10)
"""Requests in each five seconds of two minutes of code completion at Azure, 16 November 2023.

Azure/AzurePublicDataset, AzureLLMInferenceTrace_code, CC-BY-4.0, from 1,280 s after its beginning.
"""


def bursty_requests(name: str, counts: tuple[int, ...], tokens: tuple[int, int]) -> tuple[Request, ...]:
    """Requests that arrive in these numbers, at even chance within each window.

    Args:
        name: beginning of the prompts, so that no two traces have one in common.
        counts: requests per window of `WINDOW_S`.
        tokens: least and most that is asked for.
    """
    chance, answers = random.Random(11), Answers()
    requests: list[Request] = []
    for window, count in enumerate(counts):
        for at_s in sorted(chance.uniform(0.0, WINDOW_S) for _ in range(count)):
            cap = chance.randint(*tokens)
            prompt = f"{name}: complete function number {len(requests)} of the file, in {cap} words at most."
            length = min(cap, answers.next(prompt).output_tokens)
            requests.append(
                Request(prompt=prompt, max_tokens=cap, tokens=length, at_s=window * WINDOW_S + at_s)
            )
    return tuple(requests)

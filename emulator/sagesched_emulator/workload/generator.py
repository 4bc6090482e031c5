"""Draw prompts of many tasks, each with ten answer lengths, by a seed.

A prompt's length score is standard normal over the prompts of its task: part of it comes from the subject,
part from words that ask for a short or a long answer, and the rest is visible to nobody. The score picks the
prompt's typical answer length from the fitted quantiles, so the marginal is as fitted whatever the shares
are. The shares are the one thing that is chosen, not fitted: recorded prompt sets do not say how much of the
spread a reader could have seen.
"""

from __future__ import annotations

import math
import zlib

import numpy as np

from sagesched_emulator.dataset import Record
from sagesched_emulator.workload.fitted import FITTED
from sagesched_emulator.workload.material import CHAT_FRAME_TOKENS, material, tokens_of
from sagesched_emulator.workload.task import CUES, Task
from sagesched_emulator.workload.tasks import TASKS

NUM_ANSWERS = 10
SUBJECT_SHARE = 0.3
"""Share of the variance of the length score that the subject explains."""
CUE_SHARE = 0.3
"""Share that the words for short and long explain."""

_CUE_PROBABILITIES = (0.25, 0.5, 0.25)
_CUE_SCORES = (-math.sqrt(2), 0.0, math.sqrt(2))  # unit variance under these probabilities


def generate(num: int, seed: int) -> list[Record]:
    """Draw `num` records; the same seed gives the same records, another seed other prompts of the same tasks.

    Raises:
        ValueError: `num` below 1.
    """
    if num < 1:
        raise ValueError(f"need at least 1 record, got {num}")
    rng = np.random.default_rng(seed)
    shares = np.array([task.share for task in TASKS])
    return [
        _record(TASKS[int(pick)], rng) for pick in rng.choice(len(TASKS), size=num, p=shares / shares.sum())
    ]


def _record(task: Task, rng: np.random.Generator) -> Record:
    lengths = FITTED[task.name]
    subject = task.subjects[int(rng.integers(len(task.subjects)))]
    cue = int(rng.choice(3, p=_CUE_PROBABILITIES))
    score = (
        math.sqrt(SUBJECT_SHARE) * subject_score(task, subject)
        + math.sqrt(CUE_SHARE) * _CUE_SCORES[cue]
        + math.sqrt(1 - SUBJECT_SHARE - CUE_SHARE) * rng.standard_normal()
    )
    prompt, prompt_tokens = _prompt(task, subject, cue, lengths.draw_prompt_tokens(rng), rng)
    return Record(
        prompt=prompt,
        prompt_tokens=prompt_tokens,
        output_samples=lengths.draw_answers(score, NUM_ANSWERS, rng),
        dataset=task.name,
        model="generated",
    )


def subject_score(task: Task, subject: str) -> float:
    """The subject's part of the length score, of unit variance over subjects; the same for every seed."""
    order = sorted(task.subjects, key=lambda other: zlib.crc32(f"{task.name}/{other}".encode()))
    num = len(order)
    # Evenly spread ranks: uniform on [-sqrt(3), sqrt(3)] has variance 1, and n ranks fall short of it by 1 -
    # 1/n^2.
    return (2 * order.index(subject) + 1 - num) / num * math.sqrt(3 / (1 - num**-2))


def _prompt(
    task: Task, subject: str, cue: int, target_tokens: int, rng: np.random.Generator
) -> tuple[str, int]:
    """The prompt's text and its tokens, near the target where there is a text to lengthen."""
    asked = task.phrasings[int(rng.integers(len(task.phrasings)))].format(subject=subject)
    text = asked[0].upper() + asked[1:]
    if cue != 1:
        wishes = CUES[task.cues][0 if cue == 0 else 1]
        wished = wishes[int(rng.integers(len(wishes)))]
        text = f"{text} {wished}" if task.kind is None else f"{wished} {text}"  # a text follows its request
    tokens = CHAT_FRAME_TOKENS + tokens_of(text)
    if task.kind is not None:
        attached = material(task.kind, target_tokens - tokens, rng)
        text = f"{text}\n\n{attached}".strip()
        tokens += tokens_of(attached, task.kind)
    return text, tokens

"""A user's own recorded traffic as training examples."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from sagesched_predictor.dataset import read_examples
from sagesched_predictor.training.examples import TrainingExample


def read_jsonl(path: Path) -> Iterator[TrainingExample]:
    """Examples of a file in the dataset format; answers at `max_tokens` count as cut off there.

    Raises:
        DatasetError: the file cannot be read or a line is wrong.
    """
    for example in read_examples(path):
        features = example.features
        yield TrainingExample(
            prompt=features.prompt,
            dataset=example.dataset or path.stem,
            model=features.model,
            lengths=tuple(max(1, example.outcome(n).output_tokens) for n in example.output_tokens),
            cap=features.max_tokens,
            prompt_tokens=features.prompt_tokens,
            max_tokens=features.max_tokens,
            temperature=features.temperature,
            top_p=features.top_p,
            system_prompt=features.system_prompt,
            has_tools=features.has_tools,
            wants_json=features.wants_json,
            thinking=features.thinking,
            censored=example.is_cut_off,
        )

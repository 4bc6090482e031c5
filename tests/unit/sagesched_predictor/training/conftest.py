"""A small made-up task that a network can learn: prompts that name a size, answers that follow it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from sagesched_predictor.training.examples import TrainingExample

SIZES = {"tiny": 20, "small": 60, "big": 200, "huge": 700}
TOPICS = ("rivers", "moons", "cheese", "trains", "bridges", "poems", "chess", "storms", "glass", "bread")


@pytest.fixture(scope="session")
def toy_examples() -> list[TrainingExample]:
    rng = np.random.default_rng(0)
    examples = []
    for size, tokens in SIZES.items():
        for topic in TOPICS:
            for model, factor in (("brief", 1.0), ("wordy", 2.0)):
                lengths = tokens * factor * rng.lognormal(0, 0.2, size=4)
                examples.append(
                    TrainingExample(
                        prompt=f"Write a {size} text about {topic}.",
                        dataset="toy",
                        model=model,
                        lengths=tuple(int(n) for n in np.maximum(lengths, 1)),
                        prompt_tokens=7,
                    )
                )
    return examples


@pytest.fixture(scope="session")
def toy_file(toy_examples: list[TrainingExample], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("toy") / "toy.jsonl"
    lines = [
        {
            "prompt": example.prompt,
            "output_samples": list(example.lengths),
            "prompt_tokens": 7,
            "max_tokens": 4096,
            "model": example.model,
            "dataset": "toy",
        }
        for example in toy_examples
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path

"""The shipped predictor on prompts and models that it was never trained with (AlpacaEval).

    python bench/predictor_elsewhere.py
    python bench/predictor_elsewhere.py --artifact DIR --every 5

AlpacaEval's terms forbid commercial use: nothing of it is in a shipped predictor, and nothing was chosen on
it. Taken is every tenth of its models in the order of their names, one answer each; prompts that are also in
the training data are left out. Every model is asked for under a name that the predictor does not know.
Printed are means over models and their 95 % interval (t): cold, and with `--adapt` prompts observed before;
beside it a TF-IDF ridge that is given the same data (`tfidf_ridge.py`).
"""

from __future__ import annotations

import argparse
import csv
import json
import lzma
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from castillo import default_data_folder
from embedded_prompts import LookUp, cached_embeddings
from replay_frontier import interval
from tfidf_ridge import TfIdfRidge

from sagesched_predictor.artifact import EncoderArtifact
from sagesched_predictor.dataset import Example
from sagesched_predictor.evaluation import Actual, evaluate
from sagesched_predictor.features import PromptFeatures
from sagesched_predictor.head import load_prior
from sagesched_predictor.history import History
from sagesched_predictor.predictor import Predictor
from sagesched_predictor.training.export import export_encoder
from sagesched_predictor.training.held_out import HELD_OUT_FOLD, fold_of
from sagesched_predictor.training.pipeline import read_examples


def read_alpaca_eval(data: Path, every: int, excluded: Sequence[str]) -> dict[str, list[Actual]]:
    """Lines of every n-th model by name, without the prompts that are excluded."""
    taken = {_comparable(prompt) for prompt in excluded}
    with lzma.open(data / "alpaca_eval" / "prompts.jsonl.xz", "rt", encoding="utf-8") as file:
        prompts = {line["prompt_id"]: line["prompt"] for line in map(json.loads, file)}
    by_model: dict[str, list[Actual]] = defaultdict(list)
    with lzma.open(data / "alpaca_eval" / "lengths.csv.xz", "rt", encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            prompt, tokens = prompts[row["prompt_id"]], max(1, int(row["out_gpt2"]))
            if _comparable(prompt) in taken or row["model"] == "NullModel":
                continue
            features = PromptFeatures(
                prompt=prompt, prompt_tokens=int(row["in_gpt2"]), model="served under a name of its own"
            )
            by_model[row["model"]].append(Actual(Example(features, (tokens,)), tokens, ()))
    return {model: by_model[model] for model in sorted(by_model)[::every]}


def _comparable(prompt: str) -> str:
    return " ".join(prompt.split())


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=default_data_folder(), help="the data pack")
    parser.add_argument("--artifact", type=Path, help="default: the shipped predictor")
    parser.add_argument("--every", type=int, default=10, metavar="N", help="take every N-th model")
    parser.add_argument("--adapt", type=int, default=200, metavar="N", help="prompts observed before")
    options = parser.parse_args()
    trained_on = [e for e in read_examples(options.data) if fold_of(e.prompt) != HELD_OUT_FOLD]
    by_model = read_alpaca_eval(options.data, options.every, [e.prompt for e in trained_on])
    artifact = EncoderArtifact.load(options.artifact or export_encoder())
    texts = list(dict.fromkeys(line.example.features.prompt for lines in by_model.values() for line in lines))
    known = LookUp(texts, cached_embeddings(texts, artifact.folder, threads=1))
    ridge = TfIdfRidge(trained_on)
    figures: dict[str, list[float]] = defaultdict(list)
    for model, lines in by_model.items():
        shuffled = [lines[i] for i in np.random.default_rng(0).permutation(len(lines))]
        said = [model]
        for num in (0, options.adapt):
            predictor = Predictor(known, History(artifact.dimension), load_prior(artifact))
            found = evaluate(predictor, shuffled, adapt=num)
            seen, asked = shuffled[:num], shuffled[num:]
            baseline = ridge.best_tau(
                [line.example.features.prompt for line in asked],
                np.array([float(line.tokens) for line in asked]),
                [line.example.features.prompt for line in seen],
                [line.tokens for line in seen],
            )
            row = {
                "tau": found["kendall_tau"],
                "tf-idf ridge tau": baseline,
                "tau above it": found["kendall_tau"] - baseline,
                "gain": found["pinball_gain"],
                "cover": found["coverage"]["0.9"],
            }
            for name, value in row.items():
                figures[f"{num} observed, {name}"].append(value)
            said.append(f"{row['tau']:.3f} ({baseline:.3f})")
        print(f"  {said[0]:40s}" + "".join(text.rjust(18) for text in said[1:]), flush=True)
    print(f"{len(texts)} prompts, {len(by_model)} models")
    for name, values in figures.items():
        print(f"  {name:34s}{interval(values)}")


if __name__ == "__main__":
    main()

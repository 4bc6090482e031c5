"""From a file to an artifact that predicts, and the same twice."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from sagesched_predictor.artifact import CARD_FILE, HEAD_FILE, EncoderArtifact
from sagesched_predictor.cli import main
from sagesched_predictor.encoder import Encoder
from sagesched_predictor.errors import ArtifactError, DatasetError
from sagesched_predictor.features import PromptFeatures
from sagesched_predictor.head import load_prior
from sagesched_predictor.opening import open_predictor
from sagesched_predictor.prior import LEVELS
from sagesched_predictor.request_features import request_vectors
from sagesched_predictor.ring import FloatMatrix
from sagesched_predictor.training.examples import TrainingExample
from sagesched_predictor.training.export import export_encoder
from sagesched_predictor.training.fitting import FitOptions, Fitted
from sagesched_predictor.training.held_out import HELD_OUT_FOLD, fold_of
from sagesched_predictor.training.naming import named_models
from sagesched_predictor.training.parts import TRUNK_FILE, Parts
from sagesched_predictor.training.pipeline import (
    MIN_SCORED,
    PARTS_FOLDER,
    Material,
    figures,
    prepare,
    read_examples,
    train,
)

FEW_STEPS = FitOptions(steps=300, batch=32)


@pytest.fixture(scope="session")
def trained(toy_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("trained") / "mine"
    train([toy_file], out, FEW_STEPS)
    return out


def test_what_it_learned_orders_prompts_that_it_never_saw(trained: Path) -> None:
    predictor = open_predictor(EncoderArtifact.load(trained))
    means = []
    for size in ("tiny", "small", "big", "huge"):
        prompt = PromptFeatures(
            prompt=f"Write a {size} text about castles.", prompt_tokens=7, max_tokens=4096
        )
        (prediction,) = predictor.predict([prompt])
        assert prediction.source == "prior"
        assert prediction.distribution is not None
        means.append(prediction.distribution.mean)
    assert means == sorted(means)
    assert means[-1] > 4 * means[0]


def test_a_model_by_name_has_its_own_scale(trained: Path) -> None:
    artifact = EncoderArtifact.load(trained)
    prior = load_prior(artifact)
    assert prior is not None
    prompt = PromptFeatures(prompt="Write a big text about castles.", prompt_tokens=7)
    embeddings = Encoder(artifact).embed([prompt.prompt] * 3)
    middle = LEVELS.index(0.5)
    quantiles = prior.predict(embeddings, request_vectors([prompt] * 3), ["brief", "owner/Wordy", "other"])
    brief, wordy, other = quantiles[:, middle]
    assert wordy - brief == pytest.approx(np.log(2), abs=0.35)
    assert brief < other < wordy


def test_the_exported_networks_say_what_the_fitted_ones_say(
    trained: Path, toy_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    material = prepare(read_examples(toy_file), 1)
    fitted = material.fit(FEW_STEPS, without_folds={HELD_OUT_FOLD}, on_step=lambda step, loss: None)
    artifact = EncoderArtifact.load(trained)
    examples = material.examples[:6]
    embeddings = fitted.embed(material.table[material.rows[:6]])
    exported = Encoder(artifact).embed([example.prompt for example in examples])
    assert (embeddings * exported).sum(axis=1).min() > 0.95  # int8 scales depend on the batch
    prior = load_prior(artifact)
    assert prior is not None
    vectors = request_vectors([example.features() for example in examples])
    for model in ("wordy", "a model of another name"):
        ours, representation = fitted.predict(embeddings, vectors, model)
        assert prior.predict(embeddings, vectors, [model] * 6) == pytest.approx(np.maximum(ours, 0), abs=1e-4)
        assert prior.represent(embeddings, vectors) == pytest.approx(representation, abs=1e-4)


def test_a_seed_decides_everything(trained: Path, toy_file: Path, tmp_path: Path) -> None:
    train([toy_file], tmp_path / "again", FEW_STEPS)
    train([toy_file], tmp_path / "other", FitOptions(steps=300, batch=32, seed=1))
    for name in (TRUNK_FILE, HEAD_FILE, CARD_FILE):
        first = (trained / PARTS_FOLDER / name).read_bytes()
        assert (tmp_path / "again" / PARTS_FOLDER / name).read_bytes() == first
        assert (tmp_path / "other" / PARTS_FOLDER / name).read_bytes() != first


def test_the_card_says_what_it_was_made_of_and_what_it_never_saw(trained: Path, toy_file: Path) -> None:
    card = json.loads((trained / CARD_FILE).read_text())
    kept = [e for e in read_examples(toy_file) if fold_of(e.prompt) != HELD_OUT_FOLD]
    assert card["training"]["answers"] == sum(len(example.lengths) for example in kept)
    assert card["head"]["models"] == ["brief", "wordy"]
    assert [(row["source"], row["licence"]) for row in card["data"]] == [("own", "own data")] * len(
        card["data"]
    )
    assert "fold 0" in card["training"]["held_out"]


class Knows:
    """A fitted network that expects 64 tokens, give or take a few, of any prompt."""

    def embed(self, pooled: FloatMatrix) -> FloatMatrix:
        return pooled

    def predict(self, embeddings: FloatMatrix, features: FloatMatrix) -> tuple[FloatMatrix, FloatMatrix]:
        quantiles = np.log(64) + 0.1 * (np.array(LEVELS) - 0.5)
        return np.tile(quantiles.astype(np.float32), (len(embeddings), 1)), embeddings


@pytest.mark.parametrize(
    ("max_tokens", "length", "censored"), [(10, 10, True), (10, 10, False), (0, 64, False)]
)
def test_the_cards_scores_are_of_answers_up_to_their_cap(
    max_tokens: int, length: int, censored: bool
) -> None:
    common: dict[str, Any] = {"prompt": "p", "dataset": "own", "model": "m", "max_tokens": max_tokens}
    told = TrainingExample(**common, lengths=(length,), censored=censored)
    cancelled = TrainingExample(**common, lengths=(3,), censored=True)
    examples = [told] * MIN_SCORED + [cancelled] * MIN_SCORED
    rows = np.zeros(len(examples), dtype=np.int64)
    material = Material(examples, np.zeros((1, 1), np.float32), rows, np.full(len(examples), HELD_OUT_FOLD))
    (scored,) = figures(cast("Fitted", Knows()), material)["by_dataset"].values()
    assert (scored["n"], scored["coverage"]["0.5"]) == (MIN_SCORED, 1.0)


def test_parts_can_be_put_together_again(trained: Path, tmp_path: Path) -> None:
    place = export_encoder(tmp_path, "int8", trained / PARTS_FOLDER)
    assert (place / "encoder.onnx").read_bytes() == (trained / "encoder.onnx").read_bytes()


def test_altered_parts_are_refused(trained: Path, tmp_path: Path) -> None:
    for name in (TRUNK_FILE, HEAD_FILE, CARD_FILE):
        (tmp_path / name).write_bytes((trained / PARTS_FOLDER / name).read_bytes())
    (tmp_path / HEAD_FILE).write_bytes(b"something else")
    with pytest.raises(ArtifactError, match=r"head\.onnx does not match its digest"):
        Parts.load(tmp_path)
    with pytest.raises(ArtifactError, match="not the parts of a predictor"):
        Parts.load(tmp_path / "nowhere")


def test_only_models_that_are_asked_for_by_name_keep_a_place() -> None:
    models = ["castillo/meta-llama--Llama-3.1-8B-Instruct", "zeroeval/gpt-4o", "my-model", ""]
    assert named_models(models) == {
        "llama-3.1-8b-instruct": "castillo/meta-llama--Llama-3.1-8B-Instruct",
        "my-model": "my-model",
    }


def test_the_command_trains_and_evaluates(
    toy_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, figures = tmp_path / "mine", tmp_path / "figures.json"
    assert main(["train", "--data", str(toy_file), "--out", str(out), "--steps", "200"]) == 0
    assert "trained on" in capsys.readouterr().out
    arguments = ["--data", str(toy_file), "--json", str(figures), "--artifact", str(out), "--adapt", "20"]
    assert main(["evaluate", *arguments]) == 0
    said = capsys.readouterr().out
    assert "latency" in said
    found = json.loads(figures.read_text())
    assert found["n"] == 60
    assert found["observed"] == 20
    assert found["kendall_tau"] > 0.3
    assert found["kendall_ceiling"] > found["kendall_tau"] - 0.05
    assert set(found["by_model"]) == {"brief", "wordy"}
    assert set(found["by_dataset"]) == {"toy"}
    assert set(found["coverage"]) == {"0.5", "0.8", "0.9"}
    assert 0 < found["latency_ms"]["p50"] <= found["latency_ms"]["p99"]


def test_data_that_cannot_be_used_says_so(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no data pack"):
        read_examples(tmp_path)
    empty = tmp_path / "empty.jsonl"
    empty.write_text("\n")
    with pytest.raises(DatasetError, match="no example"):
        read_examples(empty)

"""Heads as ONNX files: ours, a user's own, and those that do not follow the protocol."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from sagesched_predictor.artifact import (
    CARD_FILE,
    ENCODER_FILE,
    HEAD_FILE,
    TOKENIZER_FILE,
    EncoderArtifact,
    file_sha256,
)
from sagesched_predictor.errors import ArtifactError, EncoderError
from sagesched_predictor.head import OnnxHead, load_prior
from sagesched_predictor.prior import LEVELS
from sagesched_predictor.request_features import NAMES, NUM_FEATURES

LEVELS_OF_A_USER = [0.25, 0.5, 0.75]


def a_network(
    inputs: dict[str, list[Any]], *, output: str = "log_quantiles", levels: int = 3
) -> onnx.ModelProto:
    """Quantiles are a fixed matrix times the embedding; other inputs are taken and not used."""
    weight = numpy_helper.from_array(np.full((4, levels), 1.25, np.float32), "weight")
    given = [
        helper.make_tensor_value_info(
            name, TensorProto.INT64 if name == "model" else TensorProto.FLOAT, shape
        )
        for name, shape in inputs.items()
    ]
    made = helper.make_tensor_value_info(output, TensorProto.FLOAT, ["n", levels])
    node = helper.make_node("MatMul", [next(iter(inputs)), "weight"], [output])
    graph = helper.make_graph([node], "head", given, [made], [weight])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def a_network_of_open_width(num_quantiles: int) -> onnx.ModelProto:
    """The same as an exporter writes it that cannot tell how wide outputs are: an end comes from the data."""
    arrays = {
        "weight": np.full((4, 3), 1.25, np.float32),
        "zero": np.array([0]),
        "one": np.array([1]),
        "most": np.array([num_quantiles]),
    }
    nodes = [
        helper.make_node("MatMul", ["embedding", "weight"], ["all"]),
        helper.make_node("ReduceMax", ["embedding"], ["largest"], keepdims=0),
        helper.make_node("Cast", ["largest"], ["whole"], to=TensorProto.INT64),
        helper.make_node("Unsqueeze", ["whole", "zero"], ["row"]),
        helper.make_node("Max", ["row", "most"], ["end"]),
        helper.make_node("Slice", ["all", "zero", "end", "one"], ["log_quantiles"]),
        helper.make_node("Identity", ["log_quantiles"], ["representation"]),
    ]
    outputs = [
        helper.make_tensor_value_info("log_quantiles", TensorProto.FLOAT, ["n", "levels"]),
        helper.make_tensor_value_info("representation", TensorProto.FLOAT, ["n", "width"]),
    ]
    given = [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["n", 4])]
    constants = [numpy_helper.from_array(array, name) for name, array in arrays.items()]
    graph = helper.make_graph(nodes, "head", given, outputs, constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


@pytest.fixture
def folder_with(tmp_path: Path) -> Callable[..., EncoderArtifact]:
    def make(network: onnx.ModelProto | bytes, head: object) -> EncoderArtifact:
        content = network if isinstance(network, bytes) else network.SerializeToString()
        (tmp_path / HEAD_FILE).write_bytes(content)
        (tmp_path / ENCODER_FILE).write_bytes(b"encoder")
        (tmp_path / TOKENIZER_FILE).write_bytes(b"tokenizer")
        names = (HEAD_FILE, ENCODER_FILE, TOKENIZER_FILE)
        card = {"dimension": 4, "head": head, "sha256": {n: file_sha256(tmp_path / n) for n in names}}
        (tmp_path / CARD_FILE).write_text(json.dumps(card))
        return EncoderArtifact.load(tmp_path)

    return make


def test_a_users_own_network_works_without_code(folder_with: Callable[..., EncoderArtifact]) -> None:
    artifact = folder_with(a_network({"embedding": ["n", 4]}), {"levels": LEVELS_OF_A_USER})
    prior = load_prior(artifact)
    assert prior is not None
    quantiles = prior.predict(
        np.ones((2, 4), np.float32), np.zeros((2, NUM_FEATURES), np.float32), ["a", "b"]
    )
    assert quantiles.shape == (2, len(LEVELS))
    assert quantiles == pytest.approx(5.0)
    assert prior.representation_size == 0
    assert not prior.knows("a")


def test_models_and_features_are_handed_over_where_asked_for(
    folder_with: Callable[..., EncoderArtifact],
) -> None:
    inputs = {"embedding": ["n", 4], "features": ["n", NUM_FEATURES], "model": ["n"]}
    card = {"levels": LEVELS_OF_A_USER, "features": list(NAMES), "models": ["llama"]}
    prior = load_prior(folder_with(a_network(inputs), card))
    assert prior is not None
    assert prior.knows("llama")
    assert prior.predict(np.ones((1, 4), np.float32), np.zeros((1, NUM_FEATURES), np.float32), ["llama"]).size


def test_widths_that_only_a_run_tells_are_checked_there(folder_with: Callable[..., EncoderArtifact]) -> None:
    embeddings, vectors = np.ones((2, 4), np.float32), np.zeros((2, NUM_FEATURES), np.float32)
    prior = load_prior(folder_with(a_network_of_open_width(3), {"levels": LEVELS_OF_A_USER}))
    assert prior is not None
    assert prior.predict(embeddings, vectors, ["a", "b"]) == pytest.approx(5.0)
    assert prior.representation_size == 0
    narrow = load_prior(folder_with(a_network_of_open_width(2), {"levels": LEVELS_OF_A_USER}))
    assert narrow is not None
    with pytest.raises(EncoderError, match=r"gave \(2, 2\) for 2 prompts, 3 levels"):
        narrow.predict(embeddings, vectors, ["a", "b"])


def test_an_encoder_alone_has_no_prior(encoder_folder: Path, tmp_path: Path) -> None:
    card = json.loads((encoder_folder / CARD_FILE).read_text())
    del card["sha256"][HEAD_FILE], card["head"]
    for name in (ENCODER_FILE, TOKENIZER_FILE):
        (tmp_path / name).symlink_to(encoder_folder / name)
    (tmp_path / CARD_FILE).write_text(json.dumps(card))
    assert load_prior(EncoderArtifact.load(tmp_path)) is None


@pytest.mark.parametrize(
    ("network", "card", "message"),
    [
        (a_network({"prompt": ["n", 4]}), {"levels": LEVELS_OF_A_USER}, "needs input embedding"),
        (a_network({"embedding": ["n", 4]}, output="y"), {"levels": LEVELS_OF_A_USER}, "log_quantiles"),
        (a_network({"embedding": ["n", 4]}), {"levels": [0.5, 0.9]}, "3 quantiles, 2 levels"),
        (a_network({"embedding": ["n", 4]}), {"levels": [0.5, 0.4, 0.9]}, "increasing numbers"),
        (a_network({"embedding": ["n", 4]}), {}, "increasing numbers"),
        (a_network({"embedding": ["n", 4]}), "levels", "says nothing about the head"),
        (
            a_network({"embedding": ["n", 4], "features": ["n", 3]}),
            {"levels": LEVELS_OF_A_USER, "features": ["a", "b", "c"]},
            "other features",
        ),
        (
            a_network({"embedding": ["n", 4], "features": ["n", 45]}),
            {"levels": LEVELS_OF_A_USER, "features": 45},
            "features must be a list of names",
        ),
        (
            a_network({"embedding": ["n", 4], "model": ["n"]}),
            {"levels": LEVELS_OF_A_USER, "models": "llama"},
            "models must be a list of names",
        ),
    ],
)
def test_a_network_that_does_not_follow_the_protocol_is_refused(
    folder_with: Callable[..., EncoderArtifact], network: onnx.ModelProto, card: object, message: str
) -> None:
    with pytest.raises(ArtifactError, match=message):
        OnnxHead(folder_with(network, card))


def test_a_file_that_is_no_network_is_named(folder_with: Callable[..., EncoderArtifact]) -> None:
    with pytest.raises(EncoderError, match=r"head\.onnx: cannot be loaded"):
        OnnxHead(folder_with(b"noise", {"levels": LEVELS_OF_A_USER}))

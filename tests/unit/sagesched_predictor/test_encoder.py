from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from sagesched_predictor import network_run, runtime
from sagesched_predictor.artifact import EncoderArtifact, file_sha256
from sagesched_predictor.comparison import NEAREST
from sagesched_predictor.encoder import MAX_BATCH, Encoder, EncoderOptions, batches
from sagesched_predictor.errors import EncoderError
from sagesched_predictor.regression import Exponentials
from sagesched_predictor.runtime import fallback_reason


def test_embeddings_are_unit_vectors_in_the_order_asked(encoder: Encoder) -> None:
    texts = ["a long question about the history of bridges in stone and steel, please", "hi", "", "hi"]
    embeddings = encoder.embed(texts)
    assert embeddings.dtype == np.float32
    assert embeddings.shape == (4, 128)
    assert np.linalg.norm(embeddings, axis=1) == pytest.approx(1, abs=1e-5)
    assert embeddings[1] @ embeddings[3] > 0.999
    assert embeddings[1] @ encoder.embed(["hi"])[0] > 0.97  # int8 scales depend on the batch
    assert encoder.embed([]).shape == (0, 128)


def test_similar_prompts_are_near_each_other(encoder: Encoder) -> None:
    a, b, c = encoder.embed(
        ["Write a poem about the sea.", "Write a poem about the ocean.", "Fix the bug in this SQL query."]
    )
    assert a @ b > 0.8 > 0.5 > a @ c


def test_reports_the_provider_in_use(encoder: Encoder) -> None:
    assert (encoder.provider, encoder.fallback) == ("CPUExecutionProvider", None)


def test_a_gpu_that_is_not_there_is_reported(float_encoder_folder: Path) -> None:
    encoder = Encoder(EncoderArtifact.load(float_encoder_folder), EncoderOptions(device="GPU"))
    assert encoder.provider == "CPUExecutionProvider"
    assert encoder.fallback is not None
    assert "CUDAExecutionProvider" in encoder.fallback


def test_a_provider_that_is_there_but_does_not_start_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    both = ["CUDAExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: both)
    assert "did not start" in str(fallback_reason("GPU", "CPUExecutionProvider"))
    assert fallback_reason("GPU", "CUDAExecutionProvider") is None
    assert fallback_reason("CPU", "CPUExecutionProvider") is None


def test_asks_for_cuda_with_a_memory_limit_where_it_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    both = ["CUDAExecutionProvider", "CPUExecutionProvider"]
    preloaded: list[bool] = []
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: both)
    monkeypatch.setattr(onnxruntime, "preload_dlls", lambda: preloaded.append(True))
    recorded, plain = runtime._attempts("GPU")
    (cuda, options), cpu = plain
    assert (cuda, cpu) == tuple(both)
    assert options["gpu_mem_limit"] == runtime.GPU_MEMORY_LIMIT_BYTES
    assert recorded == [(cuda, options | {"enable_cuda_graph": "1"}), cpu]
    assert preloaded == [True]


def test_refuses_to_start_with_both_runtimes(encoder_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metadata, "distribution", lambda name: name)
    with pytest.raises(EncoderError, match="onnxruntime and onnxruntime-gpu are both installed"):
        Encoder(EncoderArtifact.load(encoder_folder))


def test_one_runtime_is_fine_whichever_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    for only in ("onnxruntime", "onnxruntime-gpu"):

        def find(name: str, only: str = only) -> str:
            if name != only:
                raise metadata.PackageNotFoundError(name)
            return name

        monkeypatch.setattr(metadata, "distribution", find)
        runtime.refuse_both_runtimes()


def test_int8_is_refused_on_a_gpu(encoder_folder: Path) -> None:
    with pytest.raises(EncoderError, match="--precision fp16"):
        Encoder(EncoderArtifact.load(encoder_folder), EncoderOptions(device="GPU"))


def test_an_unknown_device_is_refused(encoder_folder: Path) -> None:
    with pytest.raises(EncoderError, match="one of CPU, GPU"):
        Encoder(EncoderArtifact.load(encoder_folder), EncoderOptions(device="TPU"))


def test_a_network_that_does_not_load_is_named(encoder_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "encoder.onnx").write_bytes(b"not a network")
    (tmp_path / "tokenizer.json").write_bytes((encoder_folder / "tokenizer.json").read_bytes())
    with pytest.raises(EncoderError, match="cannot be loaded"):
        Encoder(EncoderArtifact(tmp_path, 384, "x", {}))


def test_a_network_of_another_width_than_its_card_is_refused(encoder_folder: Path) -> None:
    artifact = EncoderArtifact.load(encoder_folder)
    with pytest.raises(EncoderError, match="the card says 12"):
        Encoder(EncoderArtifact(artifact.folder, 12, artifact.fingerprint, artifact.card))


def test_batches_hold_texts_of_like_length_and_every_text_once() -> None:
    lengths = [5, 100, 6, 90, *[50] * (MAX_BATCH + 3), 1]
    groups = batches(lengths)
    assert sorted(position for group in groups for position in group) == list(range(len(lengths)))
    assert all(len(group) <= MAX_BATCH for group in groups)
    assert all(min(lengths[i] for i in group) >= 0.75 * max(lengths[i] for i in group) for group in groups)
    assert groups[0] == [1, 3]
    assert batches([]) == []


def test_a_kept_binding_gives_the_same_as_a_plain_run(encoder_folder: Path) -> None:
    plain, bound = (Encoder(EncoderArtifact.load(encoder_folder)) for _ in range(2))
    bound._run_network = network_run.BoundRun(bound.session, bound.dimension)
    for texts in (["a short one"], ["one", "two words and more of them", "three"], ["again"]):
        assert np.array_equal(bound.embed(texts), plain.embed(texts))


def test_a_replayed_run_pads_without_changing_an_embedding(float_encoder_folder: Path) -> None:
    plain, replayed = (Encoder(EncoderArtifact.load(float_encoder_folder)) for _ in range(2))
    replayed._run_network = network_run.ReplayedRun(
        replayed.session, replayed.dimension, widest=128, device="cpu"
    )
    for texts in (["a short one"], ["word " * 200], ["one", "two words", "three"], ["again"], ["word " * 40]):
        assert np.allclose(replayed.embed(texts), plain.embed(texts), atol=1e-5)


def test_a_replayed_run_never_pads_to_more_than_the_network_takes(float_encoder_folder: Path) -> None:
    encoder = Encoder(EncoderArtifact.load(float_encoder_folder))
    run = network_run.ReplayedRun(encoder.session, encoder.dimension, widest=100, device="cpu")
    for width in (10, 99, 100):
        ids = np.full((3, width), 1000, dtype=np.int64)
        assert run({"input_ids": ids, "attention_mask": np.ones_like(ids)}).shape == (3, encoder.dimension)
    assert sorted(shape for *shape, _ in run._recordings) == [[4, 32], [4, 100]]


def test_a_network_that_compares_tells_the_nearest_with_the_embedding(replaying_encoder: Encoder) -> None:
    rng = np.random.default_rng(0)
    records = rng.normal(size=(2_000, replaying_encoder.dimension)).astype(np.float32)
    records /= np.linalg.norm(records, axis=1, keepdims=True)
    requests, weights = rng.normal(size=(30, 5)), rng.normal(size=(30, 2))
    copy = replaying_encoder.new_copy(num_records=len(records), num_landmarks=40, request_size=5)
    for sent in (records, records[::-1]):
        regression = Exponentials(sent[:30], requests.astype(np.float32), weights.astype(np.float32))
        copy.send_records(sent)
        copy.send_regression(regression)
        for text in ("a short one", "word " * 200):
            request = rng.normal(size=(1, 5)).astype(np.float32)
            said = replaying_encoder.compare(text, request, copy)
            (embedding,) = replaying_encoder.embed([text])
            assert said.embedding == pytest.approx(embedding, abs=1e-6)
            cosines = sent @ embedding
            assert np.sort(said.similarities) == pytest.approx(np.sort(cosines)[-NEAREST:], abs=1e-5)
            assert said.similarities == pytest.approx(cosines[said.positions], abs=1e-5)
            assert len(set(said.positions.tolist())) == NEAREST
            exponentials = np.exp(sent[:30] @ embedding) + np.exp(requests @ request[0])
            assert said.said == pytest.approx(exponentials @ weights, rel=1e-3, abs=1e-3)


def test_a_network_that_compares_embeds_as_any_other(
    replaying_encoder: Encoder, half_encoder_folder: Path
) -> None:
    texts = ["one", "two words", "three"]
    plain, bound = (Encoder(EncoderArtifact.load(half_encoder_folder)) for _ in range(2))
    bound._run_network = network_run.BoundRun(bound.session, bound.dimension)
    assert np.array_equal(bound.embed(texts), plain.embed(texts))
    assert np.allclose(replaying_encoder.embed(texts), plain.embed(texts), atol=1e-5)


def test_only_where_the_device_has_the_records_is_anything_compared(
    encoder: Encoder, replaying_encoder: Encoder, half_encoder_folder: Path
) -> None:
    assert replaying_encoder.compares
    assert not encoder.compares
    assert not Encoder(EncoderArtifact.load(half_encoder_folder)).compares


def test_a_network_that_cannot_be_recorded_is_run_all_the_same(
    encoder_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cpu = ["CPUExecutionProvider"]
    monkeypatch.setattr(runtime, "_attempts", lambda device: [["no such provider"], cpu])
    session = runtime.start_session(encoder_folder / "encoder.onnx", device="GPU", threads=1)
    assert session.get_providers() == cpu
    assert not runtime.is_recorded(session)


def test_longer_prompts_than_it_was_trained_for_are_cut_whatever_is_asked(encoder_folder: Path) -> None:
    artifact = EncoderArtifact.load(encoder_folder)
    text = "word " * 1000
    wide, narrow = (Encoder(artifact, EncoderOptions(max_prompt_tokens=n)) for n in (512, 128))
    assert np.array_equal(wide.embed([text]), narrow.embed([text]))


def own_network(*, inputs: Sequence[str] = ("input_ids", "attention_mask"), pooled: bool = True) -> bytes:
    """A table of words as somebody else exports it: the width left open, rows of any length."""
    table = np.random.default_rng(0).normal(size=(30_522, 4)).astype(np.float32)
    nodes = [helper.make_node("Gather", ["table", inputs[0]], ["words"])]
    if pooled:
        nodes.append(helper.make_node("ReduceMean", ["words", "axis"], ["mean"], keepdims=0))
    shape = ["batch", "width"] if pooled else ["batch", "sequence", "width"]
    graph = helper.make_graph(
        nodes,
        "own",
        [helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "sequence"]) for name in inputs],
        [helper.make_tensor_value_info("mean" if pooled else "words", TensorProto.FLOAT, shape)],
        [numpy_helper.from_array(table, "table"), numpy_helper.from_array(np.array([1]), "axis")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    return model.SerializeToString()


@pytest.fixture
def own_folder(encoder_folder: Path, tmp_path: Path) -> Callable[..., Path]:
    def make(network: bytes, dimension: int = 4) -> Path:
        (tmp_path / "encoder.onnx").write_bytes(network)
        (tmp_path / "tokenizer.json").write_bytes((encoder_folder / "tokenizer.json").read_bytes())
        digests = {name: file_sha256(tmp_path / name) for name in ("encoder.onnx", "tokenizer.json")}
        (tmp_path / "card.json").write_text(json.dumps({"dimension": dimension, "sha256": digests}))
        return tmp_path

    return make


def test_a_users_own_network_gives_unit_vectors_too(own_folder: Callable[..., Path]) -> None:
    embeddings = Encoder(EncoderArtifact.load(own_folder(own_network()))).embed(["one", "two words", "one"])
    assert np.linalg.norm(embeddings, axis=1) == pytest.approx(1, abs=1e-5)
    assert embeddings[0] == pytest.approx(embeddings[2])


@pytest.mark.parametrize(
    "network",
    [
        own_network(pooled=False),
        own_network(inputs=("input_ids",)),
        own_network(inputs=("input_ids", "attention_mask", "token_type_ids")),
        own_network(inputs=("ids", "mask")),
    ],
    ids=["one vector per token", "no mask", "a third input", "other names"],
)
def test_a_network_of_another_protocol_is_told_what_is_needed(
    own_folder: Callable[..., Path], network: bytes
) -> None:
    with pytest.raises(EncoderError, match=r"needs the inputs input_ids and attention_mask and one output"):
        Encoder(EncoderArtifact.load(own_folder(network)))


def test_a_width_that_only_a_run_tells_is_checked_there(own_folder: Callable[..., Path]) -> None:
    encoder = Encoder(EncoderArtifact.load(own_folder(own_network())))
    encoder._run_network = lambda inputs: np.ones((len(inputs["input_ids"]), 5), np.float32)
    with pytest.raises(EncoderError, match=r"gave \(1, 5\) for 1 prompts, its card says 4"):
        encoder.embed(["hi"])


@pytest.mark.parametrize("number", [np.nan, np.inf])
def test_numbers_that_are_not_finite_are_refused(own_folder: Callable[..., Path], number: float) -> None:
    encoder = Encoder(EncoderArtifact.load(own_folder(own_network())))
    encoder._run_network = lambda inputs: np.full((len(inputs["input_ids"]), 4), number, np.float32)
    with pytest.raises(EncoderError, match=r"not finite for a batch of \(2, 3\)"):
        encoder.embed(["hi", "you"])

"""What it would take with search, and head, in the network's own run on the device: a trial, not the product.

    python bench/gpu/one_run.py --gpu ARTIFACT
    python bench/gpu/one_run.py --cpu ARTIFACT          without a GPU: whether the results are the same

Embedding, search over 10,000 records and online head of one prompt of 128 tokens, one after the other, p50 in
ms: as the product does it (network on the device, the rest on the CPU); with the records on the device and
their cosines, or the nearest 512 of them, coming back with the embedding; and with the head there as well.
All inputs go over in one copy and all results come back in one. First it is shown that results agree.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # as the worker does, and before numpy looks

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
from latency import a_full_predictor, a_head, new_prompts  # type: ignore[import-not-found]
from onnx import TensorProto, helper, numpy_helper

from sagesched_predictor.history import NEAREST, nearest
from sagesched_predictor.online_head import OnlineHead, _scales
from sagesched_predictor.regression import EMBEDDING_WIDTH, VECTOR_WIDTH
from sagesched_predictor.runtime import is_recorded, start_session

RECORDS = 10_000
KINDS = ("cosines", "nearest", "nearest and head")
Floats = npt.NDArray[np.floating[Any]]
Answer = tuple[Floats, npt.NDArray[np.int64], Floats]
"""Embedding, positions of the nearest, quantiles of the head."""


class Graph:
    """The encoder's network with more behind it."""

    def __init__(self, path: Path) -> None:
        self.model = onnx.load(str(path))
        (output,) = self.model.graph.output
        self.embedding, self.kind = output.name, output.type.tensor_type.elem_type

    def add(self, kind: str, inputs: list[str], output: str, **attributes: Any) -> str:
        """A node; returns its output's name."""
        self.model.graph.node.append(helper.make_node(kind, inputs, [output], **attributes))
        return output

    def constant(self, name: str, values: Any) -> str:
        """An initializer; returns its name."""
        self.model.graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def input(self, name: str, kind: int, shape: list[int]) -> str:
        """One input more; returns its name."""
        self.model.graph.input.append(helper.make_tensor_value_info(name, kind, shape))
        return name

    def single(self, name: str) -> str:
        """The same in single precision."""
        return self.add("Cast", [name], f"{name}.single", to=TensorProto.FLOAT)


def add_head(graph: Graph, embedding: str, head: OnlineHead) -> str:
    """Mean and size as `OnlineHead.predict` has them before its constants; see `KernelFeatures`."""
    seen, coefficients = head._features, head._coefficients
    width = seen._vectors.shape[1]
    vector = graph.input("vector", TensorProto.FLOAT, [1, width])
    number = {
        name: graph.constant(name, np.array([value], dtype=np.float32))
        for name, value in (
            ("one", 1.0),
            ("per_width", 1 / EMBEDDING_WIDTH),
            ("minus_two", -2.0),
            ("per_vector_width", -0.5 / (VECTOR_WIDTH * width)),
            ("zero", 0.0),
        )
    }
    landmarks = graph.constant("landmarks", seen._embeddings.T)
    cosines = graph.add("MatMul", [embedding, landmarks], "h.cosines")
    apart = graph.add("Sub", [cosines, number["one"]], "h.apart")
    by_text = graph.add("Exp", [graph.add("Mul", [apart, number["per_width"]], "h.text")], "h.by_text")
    products = graph.add("MatMul", [vector, graph.constant("vectors", seen._vectors.T)], "h.products")
    crossed = graph.add("Mul", [products, number["minus_two"]], "h.crossed")
    one_way = graph.add("Add", [crossed, graph.constant("squares", seen._squares[None])], "h.one_way")
    axis = graph.constant("axis", np.array([1], dtype=np.int64))
    own = graph.add("ReduceSum", [graph.add("Mul", [vector, vector], "h.own"), axis], "h.square")
    gaps = graph.add("Mul", [graph.add("Add", [one_way, own], "h.gaps"), number["per_vector_width"]], "h.gap")
    by_look = graph.add("Exp", [graph.add("Min", [gaps, number["zero"]], "h.least")], "h.by_look")
    kernels = graph.add("Add", [by_text, by_look], "h.kernels")
    return graph.add("MatMul", [kernels, graph.constant("c", np.float32(coefficients[:-2]))], "h.said")


class OneRun:
    """Embedding, search and perhaps head of one prompt in one run."""

    def __init__(self, artifact: Path, kind: str, device: str, records: Floats, head: OnlineHead) -> None:
        self._kind, self._head = kind, head
        self._device = "cuda" if device == "GPU" else "cpu"
        self._dimension, num = records.shape[1], len(records)
        graph = Graph(artifact / "encoder.onnx")
        half = graph.kind == TensorProto.FLOAT16
        graph.input("records", graph.kind, [self._dimension, num])
        embedding = graph.single(graph.embedding)
        cosines = graph.single(graph.add("MatMul", [graph.embedding, "records"], "cosines"))
        parts, size = [embedding], self._dimension
        if kind == "cosines":
            parts, size = [*parts, cosines], size + num
        else:
            wanted = graph.constant("nearest", np.array([NEAREST], dtype=np.int64))
            best = helper.make_node("TopK", [cosines, wanted], ["best", "rows"], axis=1, sorted=0)
            graph.model.graph.node.append(best)
            parts, size = [*parts, "best", graph.single("rows")], size + 2 * NEAREST
        if kind == "nearest and head":
            parts, size = [*parts, add_head(graph, embedding, head)], size + 2
        del graph.model.graph.output[:]
        packed = graph.add("Concat", parts, "packed", axis=1)
        graph.model.graph.output.append(helper.make_tensor_value_info(packed, TensorProto.FLOAT, [1, size]))
        with tempfile.TemporaryDirectory() as scratch:
            path = Path(scratch) / "one_run.onnx"
            onnx.save(graph.model, str(path))
            self._session = start_session(path, device=device, threads=1)
        there = records.T.astype(np.float16 if half else np.float32)
        self._records = self._on_device(np.ascontiguousarray(there))
        self._size, self._bound = size, dict[int, Any]()

    @property
    def is_recorded(self) -> bool:
        """Whether its kernels are replayed."""
        return is_recorded(self._session)

    def __call__(self, ids: list[int], vector: Floats) -> Answer:
        """For a prompt's tokens and request vector."""
        width = -(-len(ids) // 32) * 32
        if width not in self._bound:
            self._bound[width] = self._bind(width, vector.shape[1])
        binding, host, there, results, options = self._bound[width]
        host[:] = 0
        host[: len(ids)], host[width : width + len(ids)] = ids, 1
        host[2 * width :].view(np.float32)[: vector.shape[1]] = self._head._features._standard(vector)[0]
        there.update_inplace(host)
        self._session.run_with_iobinding(binding, options)
        found = results.numpy()[0]
        embedding = found[None, : self._dimension]
        if self._kind == "cosines":
            cosines = found[self._dimension :]
            rows = np.argpartition(cosines, len(cosines) - NEAREST)[-NEAREST:]
            return embedding, rows, self._said(found, vector)
        rows = found[self._dimension + NEAREST : self._dimension + 2 * NEAREST].astype(np.int64)
        return embedding, rows, self._said(found, vector)

    def _said(self, found: Floats, vector: Floats) -> Floats:
        head = self._head
        said: Floats
        if self._kind != "nearest and head":
            (said,) = head.predict(found[None, : self._dimension], vector, np.zeros(1))
            return said
        last, line = head._coefficients[-2], head._features._line_mean * head._coefficients[-1]
        mean, size = found[-2:] + last - line
        said = mean + _scales(np.array([size + head._middle_size])) * head.standard_quantiles
        return said

    def _bind(self, width: int, num_features: int) -> tuple[Any, ...]:
        binding, options = self._session.io_binding(), onnxruntime.RunOptions()
        host = np.zeros(2 * width + 64 + num_features, dtype=np.int64)
        there, results = self._on_device(host), self._on_device(np.zeros((1, self._size), np.float32))
        start = there.data_ptr()
        for place, name in enumerate(("input_ids", "attention_mask")):
            at = start + 8 * width * place
            binding.bind_input(name, self._device, 0, np.int64, (1, width), at)
        if self._kind == "nearest and head":
            binding.bind_input("vector", self._device, 0, np.float32, (1, num_features), start + 16 * width)
        binding.bind_ortvalue_input("records", self._records)
        binding.bind_ortvalue_output("packed", results)
        options.add_run_config_entry("gpu_graph_id", str(len(self._bound) + 1))
        return binding, host, there, results, options

    def _on_device(self, values: npt.NDArray[Any]) -> Any:
        return onnxruntime.OrtValue.ortvalue_from_numpy(values, self._device, 0)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--gpu", type=Path, metavar="ARTIFACT", help="exported with --precision fp16")
    parser.add_argument("--cpu", type=Path, metavar="ARTIFACT", help="exported with --precision fp32")
    parser.add_argument("--rounds", type=int, default=300)
    options = parser.parse_args()
    artifact, device = options.gpu or options.cpu, "GPU" if options.gpu else "CPU"
    if artifact is None:
        parser.error("name an artifact")
    _, encoder, ring = a_full_predictor(artifact, device, RECORDS)
    print(encoder.fallback or f"{encoder.provider}, {RECORDS} records, one prompt of 128 tokens, p50 in ms")
    head, vector = a_head(ring), ring.vectors[:1]

    def product(ids: list[int]) -> tuple[Floats, Floats]:
        embedding = encoder._run([ids])
        nearest(ring, embedding, 0.8)
        return embedding, head.predict(embedding, vector, np.zeros(1))[0]

    def in_one(run: OneRun) -> Callable[[list[int]], object]:
        def way(ids: list[int]) -> object:
            _, rows, said = run(ids, vector)
            return ring.output_tokens[rows], ring.prompt_tokens[rows], ring.censored[rows], said

        return way

    ways: dict[str, Callable[[list[int]], object]] = {"as it is": product}
    for kind in KINDS:
        run = OneRun(artifact, kind, device, ring.embeddings, head)
        ways[kind] = in_one(run)
        for (prompt,) in new_prompts(1, 3, 7):
            (ids,) = encoder.tokenizer.encode([prompt.prompt])
            (embedding, said), (same, rows, again) = product(ids), run(ids, vector)
            exact = np.argsort(ring.embeddings @ embedding[0])[-NEAREST:]
            print(
                f"{kind}{', kernels replayed' if run.is_recorded else ''}: cosine of the embeddings "
                f"{float(embedding[0] @ same[0]):.5f}, nearest found {np.isin(exact, rows).mean():.3f}, "
                f"quantiles off by {np.abs(said - again).max():.1e}"
            )
    for seed in (5, 6):
        for name, way in ways.items():
            taken = []
            for (prompt,) in new_prompts(1, options.rounds, seed):
                began_at = time.perf_counter()
                (ids,) = encoder.tokenizer.encode([prompt.prompt])
                tokenized_at = time.perf_counter()
                way(ids)
                taken.append((time.perf_counter() - began_at, tokenized_at - began_at))
            whole, tokenizing = 1e3 * np.median(np.array(taken)[5:], axis=0)
            print(f"{name:18s} {whole:.3f}, of which tokenizing {tokenizing:.3f}", flush=True)


if __name__ == "__main__":
    main()

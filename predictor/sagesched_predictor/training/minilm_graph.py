"""The BERT sentence encoder as an ONNX graph, built from its weights without torch.

The graph is the one of sentence-transformers' all-MiniLM-L6-v2: embeddings, six post-norm transformer layers,
mean pooling over the attention mask, L2 normalisation. Written by hand because exporting by tracing would
need torch, 2 GB of it, for a network of a dozen distinct operators.

Two simplifications that change no figure: the token type is always 0, so its embedding row is added to the
position table at build time; query, key and value projections are one matrix product (1/sqrt(head size)
folded into the query's part), which is faster on CPUs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

Weights = Mapping[str, npt.NDArray[np.float32]]

# 20 is the first opset with Gelu as one operator; LayerNormalization came with 17.
OPSET = 20
IR_VERSION = 10
MASKED = np.float32(-1e9)


@dataclass(frozen=True, slots=True)
class BertShape:
    """The numbers of `config.json` that the graph needs."""

    num_layers: int
    num_heads: int
    hidden: int
    norm_epsilon: float

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> BertShape:
        """Read a Hugging Face BERT config; raises ValueError for another architecture."""
        if config.get("model_type") != "bert" or config.get("hidden_act") != "gelu":
            raise ValueError("only BERT with the exact gelu activation can be exported")
        if config.get("position_embedding_type", "absolute") != "absolute":
            raise ValueError("only absolute position embeddings can be exported")
        return cls(
            num_layers=int(config["num_hidden_layers"]),
            num_heads=int(config["num_attention_heads"]),
            hidden=int(config["hidden_size"]),
            norm_epsilon=float(config["layer_norm_eps"]),
        )

    @property
    def head_size(self) -> int:
        """Width of one attention head."""
        return self.hidden // self.num_heads


@dataclass(slots=True)
class Graph:
    """Collects nodes and initializers; every method returns the name of its output tensor."""

    nodes: list[onnx.NodeProto] = field(default_factory=list)
    initializers: list[onnx.TensorProto] = field(default_factory=list)

    def constant(self, name: str, value: npt.NDArray[Any] | np.generic) -> str:
        """Add an array; scalars stay scalars."""
        self.initializers.append(numpy_helper.from_array(np.asarray(value, order="C"), name))
        return name

    def node(self, operator: str, inputs: list[str], output: str, **attributes: Any) -> str:
        """Add an operator with one output."""
        self.add(operator, inputs, [output], **attributes)
        return output

    def add(self, operator: str, inputs: list[str], outputs: list[str], **attributes: Any) -> None:
        """Add an operator, named as its first output."""
        self.nodes.append(helper.make_node(operator, inputs, outputs, name=outputs[0], **attributes))

    def dense(self, scope: str, value: str, weight: npt.NDArray[Any], bias: npt.NDArray[Any]) -> str:
        """`value @ weight.T + bias`, weight of shape (out, in) as torch stores it."""
        product = self.node("MatMul", [value, self.constant(f"{scope}.weight", weight.T)], f"{scope}.matmul")
        return self.node("Add", [product, self.constant(f"{scope}.bias", bias)], f"{scope}.out")


def build_sentence_encoder(weights: Weights, config: Mapping[str, Any]) -> onnx.ModelProto:
    """Build the encoder.

    Inputs `input_ids` and `attention_mask`, int64 (batch, sequence); output `embedding`, float32 (batch,
    hidden), rows of length 1. The same weights give the same bytes.

    Args:
        weights: tensors by their Hugging Face names (`encoder.layer.0.attention.self.query.weight`, ...).
        config: the parsed `config.json`.

    Raises:
        ValueError: another architecture.
        KeyError: a tensor is missing.
    """
    shape = BertShape.from_config(config)
    graph = Graph()
    mask_bias = mask_bias_of(graph)
    value = token_embeddings(graph, weights, shape)
    for layer in range(shape.num_layers):
        value = layer_of(graph, weights, shape, layer, value, mask_bias)
    _pool(graph, value)
    ids = [
        helper.make_tensor_value_info(n, TensorProto.INT64, ["batch", "sequence"])
        for n in ("input_ids", "attention_mask")
    ]
    out = helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["batch", shape.hidden])
    proto = helper.make_graph(graph.nodes, "sentence_encoder", ids, [out], graph.initializers)
    model = helper.make_model(proto, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    onnx.checker.check_model(model)
    return model


def mask_bias_of(graph: Graph) -> str:
    """0 where a token is, -1e9 where padding is; shape (batch, 1, 1, sequence)."""
    axes = graph.constant("mask.axes", np.array([1, 2], dtype=np.int64))
    mask = graph.node("Cast", ["attention_mask"], "mask.float", to=TensorProto.FLOAT)
    wide = graph.node("Unsqueeze", [mask, axes], "mask.wide")
    padding = graph.node("Sub", [graph.constant("mask.one", np.float32(1).reshape(1)), wide], "mask.padding")
    return graph.node("Mul", [padding, graph.constant("mask.masked", MASKED.reshape(1))], "mask.bias")


def token_embeddings(graph: Graph, weights: Weights, shape: BertShape) -> str:
    """The normalised sum of words and positions; returns (batch, sequence, hidden)."""
    positions = (
        weights["embeddings.position_embeddings.weight"]
        + weights["embeddings.token_type_embeddings.weight"][0]
    )
    words = graph.constant("embeddings.words", weights["embeddings.word_embeddings.weight"])
    table = graph.constant("embeddings.positions", positions)
    start = graph.constant("embeddings.start", np.array([0], dtype=np.int64))
    length = graph.node("Shape", ["input_ids"], "embeddings.length", start=1, end=2)
    used = graph.node("Slice", [table, start, length, start], "embeddings.positions_used")
    summed = graph.node(
        "Add", [graph.node("Gather", [words, "input_ids"], "embeddings.gathered"), used], "embeddings.sum"
    )
    return _norm(graph, weights, shape, "embeddings.LayerNorm", summed)


def _norm(graph: Graph, weights: Weights, shape: BertShape, scope: str, value: str) -> str:
    scale = graph.constant(f"{scope}.scale", weights[f"{scope}.weight"])
    bias = graph.constant(f"{scope}.shift", weights[f"{scope}.bias"])
    return graph.node(
        "LayerNormalization", [value, scale, bias], f"{scope}.out", axis=-1, epsilon=shape.norm_epsilon
    )


def layer_of(graph: Graph, weights: Weights, shape: BertShape, layer: int, value: str, mask_bias: str) -> str:
    """Post-norm transformer block: norm(x + attention(x)), then norm(y + feed_forward(y))."""
    scope = f"encoder.layer.{layer}"
    context = _attention(graph, weights, shape, f"{scope}.attention.self", value, mask_bias)
    projected = _dense(graph, weights, f"{scope}.attention.output.dense", context)
    mixed = graph.node("Add", [projected, value], f"{scope}.attention.residual")
    mixed = _norm(graph, weights, shape, f"{scope}.attention.output.LayerNorm", mixed)
    inner = graph.node(
        "Gelu", [_dense(graph, weights, f"{scope}.intermediate.dense", mixed)], f"{scope}.gelu"
    )
    outer = graph.node(
        "Add", [_dense(graph, weights, f"{scope}.output.dense", inner), mixed], f"{scope}.residual"
    )
    return _norm(graph, weights, shape, f"{scope}.output.LayerNorm", outer)


def _dense(graph: Graph, weights: Weights, scope: str, value: str) -> str:
    return graph.dense(scope, value, weights[f"{scope}.weight"], weights[f"{scope}.bias"])


def _attention(
    graph: Graph, weights: Weights, shape: BertShape, scope: str, value: str, mask_bias: str
) -> str:
    """Softmax(QK^T/sqrt(d) + mask) V over all heads; returns (batch, sequence, hidden)."""
    scale = np.float32(1 / np.sqrt(shape.head_size))
    parts = [
        (weights[f"{scope}.{p}.weight"], weights[f"{scope}.{p}.bias"]) for p in ("query", "key", "value")
    ]
    parts[0] = (parts[0][0] * scale, parts[0][1] * scale)
    joint = graph.dense(
        f"{scope}.qkv", value, np.concatenate([w for w, _ in parts]), np.concatenate([b for _, b in parts])
    )
    names = [f"{scope}.{p}" for p in ("q", "k", "v")]
    graph.nodes.append(
        helper.make_node("Split", [joint], names, name=f"{scope}.split", axis=-1, num_outputs=3)
    )
    split = graph.constant(
        f"{scope}.split_heads", np.array([0, 0, shape.num_heads, shape.head_size], dtype=np.int64)
    )
    joined = graph.constant(f"{scope}.join_heads", np.array([0, 0, shape.hidden], dtype=np.int64))
    query, key, content = (graph.node("Reshape", [name, split], f"{name}.heads") for name in names)
    query = graph.node("Transpose", [query], f"{scope}.q.t", perm=[0, 2, 1, 3])
    key = graph.node("Transpose", [key], f"{scope}.k.t", perm=[0, 2, 3, 1])
    content = graph.node("Transpose", [content], f"{scope}.v.t", perm=[0, 2, 1, 3])
    scores = graph.node(
        "Add", [graph.node("MatMul", [query, key], f"{scope}.scores"), mask_bias], f"{scope}.masked"
    )
    shares = graph.node("Softmax", [scores], f"{scope}.shares", axis=-1)
    context = graph.node("MatMul", [shares, content], f"{scope}.context")
    context = graph.node("Transpose", [context], f"{scope}.context.t", perm=[0, 2, 1, 3])
    return graph.node("Reshape", [context, joined], f"{scope}.context.joined")


def _pool(graph: Graph, value: str) -> None:
    """Mean over real tokens, then unit length. A row of only padding gives zeros, not NaN."""
    axis = graph.constant("pool.axis", np.array([1], dtype=np.int64))
    last = graph.constant("pool.last", np.array([2], dtype=np.int64))
    floor = graph.constant("pool.floor", np.array([1e-9], dtype=np.float32))
    mask = graph.node("Unsqueeze", ["mask.float", last], "pool.mask")
    total = graph.node(
        "ReduceSum", [graph.node("Mul", [value, mask], "pool.kept"), axis], "pool.total", keepdims=0
    )
    count = graph.node("ReduceSum", [mask, axis], "pool.count", keepdims=0)
    mean = graph.node("Div", [total, graph.node("Max", [count, floor], "pool.count_floored")], "pool.mean")
    norm = graph.node("ReduceL2", [mean, axis], "pool.norm", keepdims=1)
    graph.node("Div", [mean, graph.node("Max", [norm, floor], "pool.norm_floored")], "embedding")

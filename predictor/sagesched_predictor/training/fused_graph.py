"""The trained encoder for GPUs: the network of `trunk_graph.py` in half precision and few, large operators.

On a GPU a small encoder's time goes into the number of its kernels. ONNX Runtime has operators of its own
(domain com.microsoft) that are one kernel where the standard has five: a BERT's embeddings, attention, a sum
with its normalisation, a bias with its gelu. Its optimiser finds such places only in networks as PyTorch
exports them, so they are written here. Sums inside these operators are in single precision, and so is the
trunk; only what passes between them is half.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto

from sagesched_predictor.training.comparing_graph import add_comparison
from sagesched_predictor.training.minilm_graph import BertShape, Graph, Weights
from sagesched_predictor.training.shape import DIMENSION
from sagesched_predictor.training.trunk_graph import NUM_LAYERS, Trunk, add_trunk, as_encoder, check_fit

FUSED = "com.microsoft"
LOWEST = np.float16(-1e4)


def build_fused_encoder(weights: Weights, config: Mapping[str, Any], trunk: Trunk) -> onnx.ModelProto:
    """Prompt -> `embedding` and, for one that knows others, `compared` (see `comparison.py`).

    See `trunk_graph.build_trained_encoder` for arguments and errors.
    """
    shape = BertShape.from_config(config)
    check_fit(shape, trunk)
    graph = HalfGraph()
    value, lengths = _embedded(graph, weights, shape)
    layers = []
    for number in range(NUM_LAYERS):
        value = _layer(graph, weights, shape, number, value, lengths)
        layers.append(value)
    _pool(graph, layers[1:])
    add_trunk(graph, trunk)
    beside = add_comparison(graph, DIMENSION)
    return as_encoder(graph, "embedding", DIMENSION, beside, FUSED)


class HalfGraph(Graph):
    """Adds weights in half precision."""

    def half(self, name: str, value: npt.NDArray[Any]) -> str:
        """Add an array."""
        return self.constant(name, np.asarray(value).astype(np.float16))

    def fused(self, operator: str, inputs: list[str], outputs: list[str], **attributes: Any) -> str:
        """Add an operator of ONNX Runtime's own; returns its first output."""
        self.add(operator, inputs, outputs, domain=FUSED, **attributes)
        return outputs[0]


def _embedded(graph: HalfGraph, weights: Weights, shape: BertShape) -> tuple[str, str]:
    """The normalised sum of words and positions, (batch, sequence, hidden), and each prompt's tokens."""
    positions = (
        weights["embeddings.position_embeddings.weight"]
        + weights["embeddings.token_type_embeddings.weight"][0]
    )
    ids, mask = (
        graph.node("Cast", [name], f"{name}.int32", to=TensorProto.INT32)
        for name in ("input_ids", "attention_mask")
    )
    value = graph.fused(
        "EmbedLayerNormalization",
        [
            ids,
            "",
            graph.half("embeddings.words", weights["embeddings.word_embeddings.weight"]),
            graph.half("embeddings.positions", positions),
            "",
            graph.half("embeddings.scale", weights["embeddings.LayerNorm.weight"]),
            graph.half("embeddings.shift", weights["embeddings.LayerNorm.bias"]),
            mask,
        ],
        ["embeddings.out", "embeddings.lengths"],
        epsilon=shape.norm_epsilon,
    )
    return value, "embeddings.lengths"


def _layer(graph: HalfGraph, weights: Weights, shape: BertShape, layer: int, value: str, lengths: str) -> str:
    scope = f"encoder.layer.{layer}"
    parts = [f"{scope}.attention.self.{name}" for name in ("query", "key", "value")]
    joint = np.concatenate([weights[f"{part}.weight"].T for part in parts], axis=1)
    bias = np.concatenate([weights[f"{part}.bias"] for part in parts])
    context = graph.fused(
        "Attention",
        [value, graph.half(f"{scope}.joint", joint), graph.half(f"{scope}.joint_bias", bias), lengths],
        [f"{scope}.context"],
        num_heads=shape.num_heads,
    )
    mixed = _added(graph, weights, shape, f"{scope}.attention.output", context, value)
    inner = _product(graph, weights, f"{scope}.intermediate.dense", mixed)
    bias_name = graph.half(f"{scope}.intermediate.bias", weights[f"{scope}.intermediate.dense.bias"])
    inner = graph.fused("BiasGelu", [inner, bias_name], [f"{scope}.inner"])
    return _added(graph, weights, shape, f"{scope}.output", inner, mixed)


def _added(
    graph: HalfGraph, weights: Weights, shape: BertShape, scope: str, value: str, residual: str
) -> str:
    """norm(residual + dense(value))."""
    return graph.fused(
        "SkipLayerNormalization",
        [
            _product(graph, weights, f"{scope}.dense", value),
            residual,
            graph.half(f"{scope}.scale", weights[f"{scope}.LayerNorm.weight"]),
            graph.half(f"{scope}.shift", weights[f"{scope}.LayerNorm.bias"]),
            graph.half(f"{scope}.dense_bias", weights[f"{scope}.dense.bias"]),
        ],
        [f"{scope}.out"],
        epsilon=shape.norm_epsilon,
    )


def _product(graph: HalfGraph, weights: Weights, scope: str, value: str) -> str:
    weight = graph.half(f"{scope}.weight", weights[f"{scope}.weight"].T)
    return graph.node("MatMul", [value, weight], f"{scope}.product")


def _pool(graph: HalfGraph, layers: list[str]) -> None:
    """`pooled`, float32: the means of the layers and the maximum of the last, over real tokens.

    A mean is a product with the mask over the number of tokens, which a GPU sums in single precision.
    """
    axis = graph.constant("pool.axis", np.array([1], dtype=np.int64))
    mask = graph.node("Cast", ["attention_mask"], "mask.float", to=TensorProto.FLOAT)
    count = graph.node("ReduceSum", [mask, axis], "pool.sum", keepdims=1)
    count = graph.node("Max", [count, graph.constant("pool.one", np.float32(1))], "pool.count")
    shares = graph.node("Div", [mask, count], "pool.shares")
    shares = graph.node("Cast", [shares], "pool.half", to=TensorProto.FLOAT16)
    row = graph.node("Unsqueeze", [shares, axis], "pool.row")
    last = graph.constant("pool.last", np.array([2], dtype=np.int64))
    is_real = graph.node("Cast", ["attention_mask"], "mask.bool", to=TensorProto.BOOL)
    column = graph.node("Unsqueeze", [is_real, last], "pool.column")
    real = graph.node("Where", [column, layers[-1], graph.constant("pool.lowest", LOWEST)], "pool.real")
    highest = graph.node("ReduceMax", [real, axis], "pool.highest", keepdims=0)
    means = [
        graph.node("Squeeze", [graph.node("MatMul", [row, layer], f"pool.mean{i}"), axis], f"pool.flat{i}")
        for i, layer in enumerate(layers)
    ]
    joined = graph.node("Concat", [*means, highest], "pool.joined", axis=1)
    graph.node("Cast", [joined], "pooled", to=TensorProto.FLOAT)

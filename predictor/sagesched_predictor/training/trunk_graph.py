"""The trained encoder as an ONNX graph: pooled layers of a BERT, and the trunk on top of them.

The encoder stops after three of MiniLM's six layers: what the later ones add is about meaning across
sentences, costs as much again, and told lengths no better (docs/decisions/0019-a-trained-prior.md).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper

from sagesched_predictor.training.minilm_graph import (
    IR_VERSION,
    OPSET,
    BertShape,
    Graph,
    Weights,
    layer_of,
    mask_bias_of,
    token_embeddings,
)
from sagesched_predictor.training.shape import (
    DIMENSION,
    NORM_FLOOR,
    PROJECTED_WEIGHT,
)

if TYPE_CHECKING:
    from sagesched_predictor.training.fitting import Fitted

NUM_LAYERS = 3
# Added to padding before a maximum, so that it is never the largest.
PADDING_PENALTY = np.float32(-1e4)

Array = npt.NDArray[np.float32]
Trunk = Mapping[str, Array]
Beside = tuple[Sequence[onnx.ValueInfoProto], Sequence[onnx.ValueInfoProto]]


def build_pooled_encoder(weights: Weights, config: Mapping[str, Any]) -> onnx.ModelProto:
    """Prompt -> `pooled`, float32 (batch, 3 x hidden): means after layers 2 and 3, and the maximum after 3.

    Raises:
        ValueError: another architecture, or fewer layers.
        KeyError: a tensor is missing.
    """
    graph = Graph()
    shape = _pooled(graph, weights, config)
    return as_encoder(graph, "pooled", 3 * shape.hidden)


def build_trained_encoder(weights: Weights, config: Mapping[str, Any], trunk: Trunk) -> onnx.ModelProto:
    """Prompt -> `embedding`, float32 (batch, DIMENSION), rows of length 1.

    Args:
        weights: of the BERT, by their Hugging Face names.
        config: its `config.json`.
        trunk: as `trunk_of` gives it.

    Raises:
        ValueError: another architecture, fewer layers, or a trunk of another width.
        KeyError: a tensor is missing.
    """
    graph = Graph()
    check_fit(_pooled(graph, weights, config), trunk)
    add_trunk(graph, trunk)
    return as_encoder(graph, "embedding", DIMENSION)


def check_fit(shape: BertShape, trunk: Trunk) -> None:
    """Raise ValueError where a BERT has too few layers or another width than the trunk takes."""
    if shape.num_layers < NUM_LAYERS:
        raise ValueError(f"{NUM_LAYERS} layers are needed, this network has {shape.num_layers}")
    if trunk["first"].shape[0] != 3 * shape.hidden:
        raise ValueError(f"the trunk takes {trunk['first'].shape[0]} pooled numbers, not {3 * shape.hidden}")


def trunk_of(fitted: Fitted) -> dict[str, Array]:
    """The trunk's arrays with the standardisation of its inputs folded in."""
    parameters, mean, scale = fitted.parameters, fitted.pooled_mean, fitted.pooled_scale
    joint = np.concatenate([parameters["trunk1"], PROJECTED_WEIGHT * fitted.projection], axis=1)
    first = scale[:, None] * joint
    bias = np.concatenate([parameters["trunk1_bias"], np.zeros(fitted.projection.shape[1], np.float32)])
    arrays = {
        "first": first,
        "first_bias": bias - mean @ first,
        "second": parameters["trunk2"],
        "second_bias": parameters["trunk2_bias"],
    }
    return {name: np.ascontiguousarray(array, dtype=np.float32) for name, array in arrays.items()}


def _pooled(graph: Graph, weights: Weights, config: Mapping[str, Any]) -> BertShape:
    shape = BertShape.from_config(config)
    if shape.num_layers < NUM_LAYERS:
        raise ValueError(f"{NUM_LAYERS} layers are needed, this network has {shape.num_layers}")
    mask_bias = mask_bias_of(graph)
    value = token_embeddings(graph, weights, shape)
    layers = []
    for number in range(NUM_LAYERS):
        value = layer_of(graph, weights, shape, number, value, mask_bias)
        layers.append(value)
    axis = graph.constant("pool.axis", np.array([1], dtype=np.int64))
    mask = graph.node(
        "Unsqueeze", ["mask.float", graph.constant("pool.last", np.array([2], dtype=np.int64))], "pool.mask"
    )
    one = graph.constant("pool.one", np.float32(1))
    count = graph.node(
        "Max", [graph.node("ReduceSum", [mask, axis], "pool.sum", keepdims=0), one], "pool.count"
    )
    parts = []
    for number, layer in enumerate(layers[1:], start=2):
        kept = graph.node("Mul", [layer, mask], f"pool.kept{number}")
        total = graph.node("ReduceSum", [kept, axis], f"pool.total{number}", keepdims=0)
        parts.append(graph.node("Div", [total, count], f"pool.mean{number}"))
    padding = graph.node("Sub", [one, mask], "pool.padding")
    penalty = graph.node("Mul", [padding, graph.constant("pool.penalty", PADDING_PENALTY)], "pool.lowered")
    masked = graph.node("Add", [layers[-1], penalty], "pool.masked")
    parts.append(graph.node("ReduceMax", [masked, axis], "pool.max", keepdims=0))
    graph.node("Concat", parts, "pooled", axis=1)
    return shape


def add_trunk(graph: Graph, trunk: Trunk) -> None:
    """Add what makes `embedding` of `pooled`."""
    joint = graph.node("MatMul", ["pooled", graph.constant("trunk.first", trunk["first"])], "trunk.joint")
    joint = graph.node(
        "Add", [joint, graph.constant("trunk.first_bias", trunk["first_bias"])], "trunk.summed"
    )
    num_hidden = trunk["second"].shape[0]
    hidden = graph.node("Gelu", [columns(graph, joint, 0, num_hidden, "trunk.raw")], "trunk.hidden")
    projected = columns(graph, joint, num_hidden, trunk["first"].shape[1], "trunk.projected")
    raw = graph.node("MatMul", [hidden, graph.constant("trunk.second", trunk["second"])], "trunk.product")
    raw = graph.node("Add", [raw, graph.constant("trunk.second_bias", trunk["second_bias"])], "trunk.biased")
    both = graph.node("Concat", [graph.node("Tanh", [raw], "trunk.traits"), projected], "trunk.both", axis=1)
    axis = graph.constant("trunk.axis", np.array([1], dtype=np.int64))
    norm = graph.node("ReduceL2", [both, axis], "trunk.norm", keepdims=1)
    floored = graph.node(
        "Max", [norm, graph.constant("trunk.floor", np.float32(NORM_FLOOR))], "trunk.floored"
    )
    graph.node("Div", [both, floored], "embedding")


def columns(graph: Graph, value: str, start: int, end: int, output: str) -> str:
    """Columns `start` to `end` of a matrix."""
    bounds = {"starts": [start], "ends": [end], "axes": [1]}
    names = [graph.constant(f"{output}.{k}", np.array(v, dtype=np.int64)) for k, v in bounds.items()]
    return graph.node("Slice", [value, *names], output)


def as_encoder(
    graph: Graph, output: str, width: int, beside: Beside = ((), ()), fused: str | None = None
) -> onnx.ModelProto:
    """The graph as a model from prompts to `output`, float32 (batch, width).

    Args:
        graph: reads `input_ids` and `attention_mask`.
        output: name of a tensor in it.
        width: of that tensor.
        beside: inputs and outputs that it has besides.
        fused: domain of operators beside the standard ones.
    """
    inputs = [
        helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "sequence"])
        for name in ("input_ids", "attention_mask")
    ]
    outputs = [helper.make_tensor_value_info(output, TensorProto.FLOAT, ["batch", width])]
    return model_of(graph, "encoder", [*inputs, *beside[0]], [*outputs, *beside[1]], fused)


def model_of(
    graph: Graph, name: str, inputs: list[Any], outputs: list[Any], fused: str | None = None
) -> onnx.ModelProto:
    """The graph as a checked model; see `as_encoder`."""
    proto = helper.make_graph(graph.nodes, name, inputs, outputs, graph.initializers)
    opsets = [helper.make_opsetid("", OPSET)]
    if fused is not None:
        opsets.append(helper.make_opsetid(fused, 1))
    model = helper.make_model(proto, opset_imports=opsets, ir_version=IR_VERSION)
    onnx.checker.check_model(model)
    return model

"""The trained head as an ONNX graph; the protocol is that of `sagesched_predictor.head`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import onnx
from onnx import TensorProto, helper

from sagesched_predictor.prior import LEVELS
from sagesched_predictor.training.familiarity import NORMAL_QUANTILES, SIDES, STRANGENESS
from sagesched_predictor.training.minilm_graph import Graph
from sagesched_predictor.training.shape import (
    DIMENSION,
    EMBEDDING_SCALE,
    FEATURE_LIMIT,
    MIDDLE,
    REPRESENTATION,
)
from sagesched_predictor.training.trunk_graph import Array, columns, model_of

if TYPE_CHECKING:
    from sagesched_predictor.training.fitting import Fitted


def build_head(fitted: Fitted, models: Mapping[str, str]) -> onnx.ModelProto:
    """Embedding and features -> `log_quantiles` and `representation`; see `sagesched_predictor.head`.

    Args:
        fitted: the network.
        models: name in the head -> name in training, for models that keep a place of their own; in the order
            of their numbers, from 1.
    """
    graph, parameters = Graph(), fitted.parameters
    num_features = len(fitted.feature_mean)
    numbers = [0, *(fitted.models.index(name) + 1 for name in models.values())]
    centred = graph.node("Sub", ["features", graph.constant("mean", fitted.feature_mean)], "centred")
    scaled = graph.node("Mul", [centred, graph.constant("scale", fitted.feature_scale)], "scaled")
    limits = [
        graph.constant(name, np.float32(x)) for name, x in (("low", -FEATURE_LIMIT), ("high", FEATURE_LIMIT))
    ]
    kept = graph.node("Clip", [scaled, *limits], "kept")
    wide = graph.node(
        "Mul", ["embedding", graph.constant("wide", np.float32(EMBEDDING_SCALE))], "embedding_wide"
    )
    hidden = _dense(graph, "head1", graph.node("Concat", [wide, kept], "inputs", axis=1), parameters)
    hidden = graph.node("Gelu", [hidden], "hidden")
    representation = graph.node("Tanh", [_dense(graph, "head2", hidden, parameters)], "representation")
    raw = _dense(graph, "out", representation, parameters)
    lowest = columns(graph, raw, 0, 1, "lowest")
    rises = graph.node("Softplus", [columns(graph, raw, 1, len(LEVELS), "raw_rises")], "rises")
    summed = graph.node("CumSum", [rises, graph.constant("axis", np.int64(1))], "summed")
    above = graph.node("Add", [lowest, summed], "above")
    common = graph.node("Concat", [lowest, above], "common", axis=1)
    middle = columns(graph, common, MIDDLE, MIDDLE + 1, "middle")
    own = {
        "slope": parameters["shift_slope"][numbers],
        "offset": parameters["shift"][numbers][:, None],
        "width": np.exp(np.maximum(parameters["width"], parameters["width"][0])[numbers])[:, None],
    }
    for name, table in own.items():
        graph.node("Gather", [graph.constant(f"{name}s", table), "model"], name)
    products = graph.node("Mul", ["slope", representation], "products")
    last = graph.constant("last", np.array([1], dtype=np.int64))
    along = graph.node("ReduceSum", [products, last], "along", keepdims=1)
    shifted = graph.node("Add", [middle, graph.node("Add", [along, "offset"], "shift")], "shifted")
    spread = graph.node("Mul", ["width", graph.node("Sub", [common, middle], "gaps")], "spread")
    _with_strangeness(graph, shifted, spread, fitted.anchors)
    inputs = [
        helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["n", DIMENSION]),
        helper.make_tensor_value_info("features", TensorProto.FLOAT, ["n", num_features]),
        helper.make_tensor_value_info("model", TensorProto.INT64, ["n"]),
    ]
    outputs = [
        helper.make_tensor_value_info("log_quantiles", TensorProto.FLOAT, ["n", len(LEVELS)]),
        helper.make_tensor_value_info("representation", TensorProto.FLOAT, ["n", REPRESENTATION]),
    ]
    return model_of(graph, "head", inputs, outputs)


def _with_strangeness(graph: Graph, middle: str, gaps: str, anchors: Array) -> None:
    """Log quantiles from median and gaps to it, as `familiarity.with_strangeness` makes them."""
    near = graph.node("MatMul", ["embedding", graph.constant("anchors", anchors.T)], "near")
    nearest = graph.node("ReduceMax", [near, graph.constant("along_anchors", np.array([1]))], "nearest")
    far = graph.node("Sub", [graph.constant("whole", np.float32(1)), nearest], "far")
    deviation = graph.node("Mul", [far, graph.constant("strangeness", np.float32(STRANGENESS))], "deviation")
    strange = graph.node(
        "Mul", [deviation, graph.constant("normal_quantiles", NORMAL_QUANTILES[None])], "strange"
    )
    variances = [graph.node("Mul", [name, name], f"{name}_squared") for name in (gaps, strange, deviation)]
    root = graph.node("Sqrt", [graph.node("Add", variances[:2], "squares")], "root")
    away = graph.node("Mul", [root, graph.constant("sides", SIDES[None])], "away")
    lower = graph.node("Mul", [variances[2], graph.constant("half", np.float32(0.5))], "lower")
    graph.node("Add", [graph.node("Sub", [middle, lower], "median"), away], "log_quantiles")


def _dense(graph: Graph, name: str, value: str, parameters: Mapping[str, Array]) -> str:
    product = graph.node(
        "MatMul", [value, graph.constant(f"{name}.weight", parameters[name])], f"{name}.product"
    )
    return graph.node(
        "Add", [product, graph.constant(f"{name}.bias", parameters[f"{name}_bias"])], f"{name}.biased"
    )

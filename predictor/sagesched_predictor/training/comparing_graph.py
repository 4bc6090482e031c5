"""Comparing a prompt with past ones in the encoder's own network; see `comparison.py` for what that is."""

from __future__ import annotations

import numpy as np
from onnx import TensorProto, ValueInfoProto, helper

from sagesched_predictor.comparison import COMPARED, LANDMARKS, RECORDS, TOLD
from sagesched_predictor.training.minilm_graph import Graph


def add_comparison(graph: Graph, dimension: int) -> tuple[list[ValueInfoProto], list[ValueInfoProto]]:
    """Add `compared` behind `embedding`, float32 (batch, dimension); returns its inputs and outputs.

    Every operator is there for CUDA, also with open sizes, or the kernels could not be recorded.
    """
    with_records = graph.node("Gemm", ["embedding", RECORDS], "compared.records", transB=1)
    wanted = graph.constant("compared.wanted", np.array([TOLD], dtype=np.int64))
    graph.add("TopK", [with_records, wanted], ["compared.nearest", "compared.rows"], axis=1, sorted=0)
    # Whole numbers up to 2^24 are exact in single precision.
    positions = graph.node("Cast", ["compared.rows"], "compared.positions", to=TensorProto.FLOAT)
    with_landmarks = graph.node("Gemm", ["embedding", LANDMARKS], "compared.landmarks", transB=1)
    graph.node("Concat", ["embedding", "compared.nearest", positions, with_landmarks], COMPARED, axis=1)
    inputs = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [name, dimension])
        for name in (RECORDS, LANDMARKS)
    ]
    return inputs, [helper.make_tensor_value_info(COMPARED, TensorProto.FLOAT, ["batch", COMPARED])]

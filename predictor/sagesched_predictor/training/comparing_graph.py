"""Comparing a prompt with past ones in the encoder's own network; see `comparison.py` for what that is."""

from __future__ import annotations

import numpy as np
from onnx import TensorProto, ValueInfoProto, helper

from sagesched_predictor.comparison import (
    COMPARED,
    LANDMARK_REQUESTS,
    LANDMARKS,
    NEAREST,
    RECORDS,
    REQUEST,
    SAID,
    WEIGHTS,
    width,
)
from sagesched_predictor.training.minilm_graph import Graph

Sizes = dict[str, list[str | int]]


def add_comparison(graph: Graph, dimension: int) -> tuple[list[ValueInfoProto], list[ValueInfoProto]]:
    """Add `compared` behind `embedding`, float32 (batch, dimension); returns its inputs and outputs.

    Every operator is there for CUDA, also with open sizes, or the kernels could not be recorded.
    """
    with_records = graph.node("Gemm", ["embedding", RECORDS], "compared.records", transB=1)
    wanted = graph.constant("compared.wanted", np.array([NEAREST], dtype=np.int64))
    graph.add("TopK", [with_records, wanted], ["compared.nearest", "compared.rows"], axis=1, sorted=0)
    # Whole numbers up to 2^24 are exact in single precision.
    positions = graph.node("Cast", ["compared.rows"], "compared.positions", to=TensorProto.FLOAT)
    by_text, by_request = (
        graph.node("Exp", [graph.node("Gemm", [own, others], f"{others}.product", transB=1)], f"{others}.exp")
        for own, others in (("embedding", LANDMARKS), (REQUEST, LANDMARK_REQUESTS))
    )
    said = graph.node("MatMul", [graph.node("Add", [by_text, by_request], "said.kernels"), WEIGHTS], "said")
    graph.node("Concat", ["embedding", "compared.nearest", positions, said], COMPARED, axis=1)
    inputs: Sizes = {
        RECORDS: [RECORDS, dimension],
        LANDMARKS: [LANDMARKS, dimension],
        LANDMARK_REQUESTS: [LANDMARKS, REQUEST],
        WEIGHTS: [LANDMARKS, SAID],
        REQUEST: [1, REQUEST],
    }
    return _told(inputs), _told({COMPARED: ["batch", width(dimension)]})


def _told(tensors: Sizes) -> list[ValueInfoProto]:
    return [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in tensors.items()]

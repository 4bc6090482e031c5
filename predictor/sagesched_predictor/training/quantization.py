"""The encoder in 8-bit integers for CPUs, in half precision for GPUs."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Sequence
from pathlib import Path

import onnx
from onnxruntime.quantization import QuantType, quantize_dynamic
from onnxruntime.transformers.float16 import DEFAULT_OP_BLOCK_LIST, convert_float_to_float16

SUMS = ("ReduceSum", "ReduceL2", "ReduceMax", "LayerNormalization")


def write_network(model: onnx.ModelProto, target: Path, precision: str, keep: Sequence[str] = ()) -> None:
    """Write the model as "int8", "fp16" or "fp32"; products named in `keep` never become int8."""
    if precision == "int8":
        quantize(model, target, keep)
    elif precision == "fp16":
        onnx.save(halved(model), target)
    else:
        onnx.save(model, target)


def halved(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model in half precision, inputs and outputs as they were.

    Sums over a prompt and the unit length stay in single precision: in half, three hundred tokens of a mean
    lose its last digits.
    """
    with warnings.catch_warnings():
        # Small weights become zero, and the mask's -1e9 the least number there is: both as they should.
        warnings.simplefilter("ignore")
        half: onnx.ModelProto = convert_float_to_float16(
            model, keep_io_types=True, op_block_list=[*DEFAULT_OP_BLOCK_LIST, *SUMS]
        )
    return half


def quantize(model: onnx.ModelProto, target: Path, keep: Sequence[str] = ()) -> None:
    """Write a copy of the model with dynamic int8 matrix products, one scale per output channel.

    The embedding tables stay float, and so do the products named in `keep`.
    """
    # The library advises shape inference before every run, by the root logger; this graph does not need it.
    logging.getLogger().addFilter(_is_not_advice)
    try:
        quantize_dynamic(
            model,
            target,
            weight_type=QuantType.QInt8,
            per_channel=True,
            op_types_to_quantize=["MatMul"],
            nodes_to_exclude=list(keep),
        )
    finally:
        logging.getLogger().removeFilter(_is_not_advice)


def _is_not_advice(record: logging.LogRecord) -> bool:
    return "pre-processing before quantization" not in record.getMessage()

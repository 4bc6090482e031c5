"""The encoder in 8-bit integers, for CPUs."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import onnx
from onnxruntime.quantization import QuantType, quantize_dynamic


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

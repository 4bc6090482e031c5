"""Where the shipped predictor is: beside its parts, as in the images, else put together in the cache."""

from __future__ import annotations

from pathlib import Path

from sagesched_predictor.errors import PredictorError

READY = Path(__file__).with_name("shipped")
"""A folder `int8` or `fp16` in here, made when an image was built, needs neither weights nor exporter."""


def shipped_folder(device: str) -> Path:
    """The shipped predictor for `CPU` or `GPU`, put together from its parts when it is not there yet.

    Raises:
        PredictorError: it cannot be made here.
    """
    precision = "int8" if device == "CPU" else "fp16"
    if (READY / precision).is_dir():
        return READY / precision
    return exported(precision)


def exported(precision: str) -> Path:
    """The shipped predictor in the cache, made when it is not there.

    Raises:
        PredictorError: it cannot be made here.
    """
    # A gateway with a ready-made predictor does not have the extra `export`.
    try:
        from sagesched_predictor.training.export import export_encoder
    except ImportError as error:
        raise PredictorError(
            f"the shipped predictor needs {error.name}: install the extra `export`, or name an artifact"
        ) from error
    return export_encoder(precision=precision)

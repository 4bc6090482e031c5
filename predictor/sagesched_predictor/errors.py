"""Exceptions of the predictor.

    PredictorError           anything below; its text is one line and says what to do
    ├── EncoderError         the ONNX session cannot run as asked (packages, device, broken artifact)
    ├── ArtifactError        an encoder folder is missing, incomplete or altered, or cannot be made
    ├── SnapshotError        a history file cannot be read, or belongs to another encoder
    └── DatasetError         a file of prompts with known lengths cannot be read

Anything else that leaves this package is a bug.
"""

from __future__ import annotations


class PredictorError(Exception):
    """Base of all errors that a user of this package can act on."""


class EncoderError(PredictorError):
    """The encoder cannot be started or run."""


class ArtifactError(PredictorError):
    """An encoder folder is missing, incomplete, altered, or cannot be exported."""


class SnapshotError(PredictorError):
    """A history file is unreadable or was made with another encoder."""


class DatasetError(PredictorError):
    """A dataset file is unreadable or a line of it is wrong."""

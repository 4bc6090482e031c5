"""What a network compares prompts with, in memory of its device that stays where it is."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import onnxruntime

from sagesched_predictor.comparison import LANDMARK_REQUESTS, LANDMARKS, NEAREST, RECORDS, SAID, WEIGHTS
from sagesched_predictor.regression import Exponentials

FloatMatrix = npt.NDArray[np.float32]


class DeviceCopy:
    """Records of one series, and the regression that was fitted to them.

    Attributes:
        request_size: numbers of a request.
        values: inputs of the network by name, as ONNX Runtime has them.
    """

    def __init__(
        self,
        device: str,
        dimension: int,
        *,
        num_records: int = NEAREST,
        num_landmarks: int = 1,
        request_size: int = 1,
    ) -> None:
        """Make room on a device, named as OrtValue does, for zeros; by default as little as can be."""
        self.request_size = request_size
        sizes = {
            RECORDS: (num_records, dimension),
            LANDMARKS: (num_landmarks, dimension),
            LANDMARK_REQUESTS: (num_landmarks, request_size),
            WEIGHTS: (num_landmarks, SAID),
        }
        self.values = {
            name: onnxruntime.OrtValue.ortvalue_from_numpy(np.zeros(size, np.float32), device, 0)
            for name, size in sizes.items()
        }

    def arrays(self) -> dict[str, FloatMatrix]:
        """What is there, by name."""
        return {name: value.numpy() for name, value in self.values.items()}

    def send_records(self, embeddings: FloatMatrix) -> None:
        """Have these instead, float32 (num_records, dimension)."""
        self.values[RECORDS].update_inplace(np.ascontiguousarray(embeddings))

    def send_regression(self, regression: Exponentials) -> None:
        """Have this one instead, of at most num_landmarks; where there are none, weights of zero."""
        self._send(LANDMARKS, regression.landmarks)
        self._send(LANDMARK_REQUESTS, regression.landmark_requests)
        self._send(WEIGHTS, regression.weights)

    def _send(self, name: str, rows: FloatMatrix) -> None:
        whole = np.zeros(self.values[name].shape(), dtype=np.float32)
        whole[: len(rows)] = rows
        self.values[name].update_inplace(whole)

"""What a network compares prompts with, in memory of its device that stays where it is."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import onnxruntime

FloatMatrix = npt.NDArray[np.float32]


class DeviceCopy:
    """Records and landmarks of one series.

    Attributes:
        num_landmarks: room for landmarks.
        records: float32 (num_records, dimension), as ONNX Runtime has it.
        landmarks: float32 (num_landmarks, dimension), the same.
    """

    def __init__(self, device: str, num_records: int, num_landmarks: int, dimension: int) -> None:
        """Make room on a device, named as OrtValue does."""
        self.num_landmarks = num_landmarks
        self.records = _zeros(device, num_records, dimension)
        self.landmarks = _zeros(device, num_landmarks, dimension)

    def send_records(self, embeddings: FloatMatrix) -> None:
        """Have these instead, float32 (num_records, dimension)."""
        self.records.update_inplace(np.ascontiguousarray(embeddings))

    def send_landmarks(self, embeddings: FloatMatrix) -> None:
        """Have these instead, float32 (at most num_landmarks, dimension), and zeros where there are none."""
        whole = np.zeros(self.landmarks.shape(), dtype=np.float32)
        whole[: len(embeddings)] = embeddings
        self.landmarks.update_inplace(whole)


def _zeros(device: str, num: int, dimension: int) -> onnxruntime.OrtValue:
    return onnxruntime.OrtValue.ortvalue_from_numpy(np.zeros((num, dimension), np.float32), device, 0)

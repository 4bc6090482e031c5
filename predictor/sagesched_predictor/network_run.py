"""Three ways of running a network with one output: plainly, through a kept binding, replayed on a GPU."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import onnxruntime

Inputs = Mapping[str, npt.NDArray[Any]]

# A recording is of one shape. To have few, widths are rounded up to steps and batches to powers of two.
NARROW_STEP, WIDE_STEP = 32, 64
NARROW = 128
# Numbers of eight bytes to a boundary that kernels may rely on, 256 bytes.
ALIGNED = 32


class NetworkRun(Protocol):
    """Runs a network."""

    def __call__(self, inputs: Inputs) -> npt.NDArray[Any]:
        """The output for these inputs, by name."""


class PlainRun:
    """Runs it as it is."""

    def __init__(self, session: Any) -> None:
        """Run this session."""
        self._session = session

    def __call__(self, inputs: Inputs) -> npt.NDArray[Any]:
        """The output for these inputs, by name."""
        (output,) = self._session.run(None, inputs)
        return np.asarray(output)


class BoundRun:
    """The same through a binding that is kept: one copy to the device and one back, nothing else."""

    def __init__(self, session: Any) -> None:
        """Run this session."""
        self._session = session
        self._binding = session.io_binding()
        self._output = session.get_outputs()[0].name

    def __call__(self, inputs: Inputs) -> npt.NDArray[Any]:
        """The output for these inputs, by name."""
        for name, value in inputs.items():
            self._binding.bind_cpu_input(name, value)
        self._binding.bind_output(self._output)
        self._session.run_with_iobinding(self._binding)
        (output,) = self._binding.copy_outputs_to_cpu()
        return np.asarray(output)


class ReplayedRun:
    """Replays recordings of the network's kernels (CUDA graphs), one for each shape.

    The kernels of a small encoder run for less time than the host takes to start them one by one. Inputs are
    two matrices of one shape, (batch, width), that may be padded with zeros; of the output, (batch,
    dimension), the rows of the padding are left out.
    """

    def __init__(self, session: Any, dimension: int, widest: int, device: str = "cuda") -> None:
        """Run a session.

        Args:
            session: started with recordings switched on.
            dimension: of its output.
            widest: inputs are never padded to more than this, which may be all that the network takes.
            device: as OrtValue names it.
        """
        self._session = session
        self._dimension = dimension
        self._widest = widest
        self._device = device
        self._recordings: dict[tuple[int, int], _Recording] = {}

    def __call__(self, inputs: Inputs) -> npt.NDArray[Any]:
        """The output for these inputs, by name. The first run of a shape makes its recording."""
        num_rows, width = next(iter(inputs.values())).shape
        shape = (1 << (num_rows - 1).bit_length(), max(min(_wider(width), self._widest), width))
        recording = self._recordings.get(shape)
        if recording is None:
            number = len(self._recordings) + 1
            recording = _Recording(self._session, shape, self._dimension, self._device, number)
            self._recordings[shape] = recording
        return recording.replay(inputs, num_rows, width)


class _Recording:
    """Memory that stays where it is, on host and device, for one shape."""

    def __init__(
        self, session: Any, shape: tuple[int, int], dimension: int, device: str, number: int
    ) -> None:
        self._session = session
        self._binding = session.io_binding()
        # All inputs lie in one piece of memory, since each copy to a device waits for itself.
        tensors, size = session.get_inputs(), shape[0] * shape[1]
        stride = -(-size // ALIGNED) * ALIGNED
        self._host = np.zeros(len(tensors) * stride, dtype=np.int64)
        self._inputs = onnxruntime.OrtValue.ortvalue_from_numpy(self._host, device, 0)
        self._parts: dict[str, npt.NDArray[np.int64]] = {}
        for start, tensor in zip(range(0, len(self._host), stride), tensors, strict=True):
            self._parts[tensor.name] = self._host[start : start + size].reshape(shape)
            place = self._inputs.data_ptr() + start * self._host.itemsize
            self._binding.bind_input(tensor.name, device, 0, np.int64, shape, place)
        (told,) = session.get_outputs()
        kind = np.float16 if told.type == "tensor(float16)" else np.float32
        output = np.zeros((shape[0], dimension), dtype=kind)
        self._output = onnxruntime.OrtValue.ortvalue_from_numpy(output, device, 0)
        self._binding.bind_ortvalue_output(told.name, self._output)
        self._options = onnxruntime.RunOptions()
        self._options.add_run_config_entry("gpu_graph_id", str(number))

    def replay(self, inputs: Inputs, num_rows: int, width: int) -> npt.NDArray[Any]:
        self._host[:] = 0
        for name, value in inputs.items():
            self._parts[name][:num_rows, :width] = value
        self._inputs.update_inplace(self._host)
        self._session.run_with_iobinding(self._binding, self._options)
        return np.asarray(self._output.numpy())[:num_rows]


def _wider(width: int) -> int:
    step = NARROW_STEP if width <= NARROW else WIDE_STEP
    return -(-width // step) * step

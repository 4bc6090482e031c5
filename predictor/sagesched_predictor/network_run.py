"""Three ways of running an encoder's network: plainly, through a kept binding, replayed on a GPU."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import onnxruntime

from sagesched_predictor.comparison import COMPARED, REQUEST, width
from sagesched_predictor.device_copy import DeviceCopy

Inputs = Mapping[str, npt.NDArray[Any]]
FloatMatrix = npt.NDArray[np.float32]

# A recording is of one shape. To have few, widths are rounded up to steps and batches to powers of two.
NARROW_STEP, WIDE_STEP = 32, 64
NARROW = 128
# Numbers of eight bytes to a boundary that kernels may rely on, 256 bytes.
ALIGNED = 32
NO_REQUEST = np.zeros((1, 1), dtype=np.float32)


class NetworkRun(Protocol):
    """Runs a network."""

    def __call__(self, inputs: Inputs) -> npt.NDArray[Any]:
        """The embeddings for these inputs, by name."""


class PlainRun:
    """Runs it as it is."""

    def __init__(self, session: Any, dimension: int) -> None:
        """Run this session."""
        self._session = session
        self._output = session.get_outputs()[0].name
        self._nothing = _nothing_to_compare_with(session, dimension)

    def __call__(self, inputs: Inputs) -> npt.NDArray[Any]:
        """The embeddings for these inputs, by name."""
        (output,) = self._session.run([self._output], {**inputs, **self._nothing})
        return np.asarray(output)


class BoundRun:
    """The same through a binding that is kept: one copy to the device and one back, nothing else."""

    def __init__(self, session: Any, dimension: int) -> None:
        """Run this session."""
        self._session = session
        self._binding = session.io_binding()
        self._output = session.get_outputs()[0].name
        for name, value in _nothing_to_compare_with(session, dimension).items():
            self._binding.bind_cpu_input(name, value)

    def __call__(self, inputs: Inputs) -> npt.NDArray[Any]:
        """The embeddings for these inputs, by name."""
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

    Attributes:
        compares: whether the network tells how prompts compare with past ones (`comparison.py`).
    """

    def __init__(self, session: Any, dimension: int, widest: int, device: str = "cuda") -> None:
        """Run a session.

        Args:
            session: started with recordings switched on.
            dimension: of its output.
            widest: inputs are never padded to more than this, which may be all that the network takes.
            device: as OrtValue names it.
        """
        self.compares = _compares(session)
        self._session = session
        self._outputs = session.get_outputs()
        self._dimension = dimension
        self._widest = widest
        self._device = device
        self._nothing = DeviceCopy(device, dimension) if self.compares else None
        self._recordings: dict[tuple[int, int, DeviceCopy | None], _Recording] = {}

    def __call__(self, inputs: Inputs) -> npt.NDArray[Any]:
        """The embeddings for these inputs, by name. The first run of a shape makes its recording."""
        return self._replay(inputs, NO_REQUEST, self._nothing, self._outputs[0], self._dimension)

    def compare(self, inputs: Inputs, request: FloatMatrix, copy: DeviceCopy) -> npt.NDArray[Any]:
        """`compared` for these inputs, with what is in this copy; see `comparison.py`."""
        return self._replay(inputs, request, copy, self._outputs[1], width(self._dimension))

    def new_copy(self, num_records: int, num_landmarks: int, request_size: int) -> DeviceCopy:
        """Room to compare with, on the device; there should be few, since recordings are of one copy."""
        return DeviceCopy(
            self._device,
            self._dimension,
            num_records=num_records,
            num_landmarks=num_landmarks,
            request_size=request_size,
        )

    def _replay(
        self, inputs: Inputs, request: FloatMatrix, copy: DeviceCopy | None, output: Any, size: int
    ) -> npt.NDArray[Any]:
        num_rows, num_columns = next(iter(inputs.values())).shape
        padded = max(min(_wider(num_columns), self._widest), num_columns)
        shape = (1 << (num_rows - 1).bit_length(), padded)
        recording = self._recordings.get((*shape, copy))
        if recording is None:
            number = len(self._recordings) + 1
            recording = _Recording(self._session, list(inputs), shape, copy, self._device, number)
            recording.tell(output, size)
            self._recordings[(*shape, copy)] = recording
        return recording.replay(inputs, request, num_rows, num_columns)


class _Recording:
    """Memory that stays where it is, on host and device, for one shape."""

    def __init__(
        self,
        session: Any,
        names: list[str],
        shape: tuple[int, int],
        copy: DeviceCopy | None,
        device: str,
        number: int,
    ) -> None:
        self._session = session
        self._device = device
        self._num_rows = shape[0]
        self._binding = session.io_binding()
        # What is sent lies in one piece of memory, since each copy to a device waits for itself.
        size = shape[0] * shape[1]
        stride = _aligned(size)
        request_at, request_size = len(names) * stride, 0 if copy is None else copy.request_size
        self._host = np.zeros(request_at + _aligned(request_size), dtype=np.int64)
        self._inputs = onnxruntime.OrtValue.ortvalue_from_numpy(self._host, device, 0)
        self._parts: dict[str, npt.NDArray[np.int64]] = {}
        for start, name in zip(range(0, request_at, stride), names, strict=True):
            self._parts[name] = self._host[start : start + size].reshape(shape)
            self._bind(name, np.int64, shape, start)
        self._request = self._host[request_at:].view(np.float32)[:request_size]
        if copy is not None:
            self._bind(REQUEST, np.float32, (1, request_size), request_at)
            for name, value in copy.values.items():
                self._binding.bind_ortvalue_input(name, value)
        self._options = onnxruntime.RunOptions()
        self._options.add_run_config_entry("gpu_graph_id", str(number))

    def tell(self, output: Any, num_columns: int) -> None:
        """Have this output of the network told, which has so many columns."""
        kind = np.float16 if output.type == "tensor(float16)" else np.float32
        room = np.zeros((self._num_rows, num_columns), dtype=kind)
        self._output = onnxruntime.OrtValue.ortvalue_from_numpy(room, self._device, 0)
        self._binding.bind_ortvalue_output(output.name, self._output)

    def replay(
        self, inputs: Inputs, request: FloatMatrix, num_rows: int, num_columns: int
    ) -> npt.NDArray[Any]:
        self._host[:] = 0
        for name, value in inputs.items():
            self._parts[name][:num_rows, :num_columns] = value
        self._request[:] = request[0, : len(self._request)]
        self._inputs.update_inplace(self._host)
        self._session.run_with_iobinding(self._binding, self._options)
        # On a CPU this is the memory that the next run writes to, hence a copy.
        return np.array(self._output.numpy()[:num_rows])

    def _bind(self, name: str, kind: type[np.generic], shape: tuple[int, int], start: int) -> None:
        place = self._inputs.data_ptr() + start * self._host.itemsize
        self._binding.bind_input(name, self._device, 0, kind, shape, place)


def _compares(session: Any) -> bool:
    return [tensor.name for tensor in session.get_outputs()[1:]] == [COMPARED]


def _nothing_to_compare_with(session: Any, dimension: int) -> dict[str, Any]:
    """What a network that compares is given where nobody asks how prompts compare."""
    if not _compares(session):
        return {}
    return {REQUEST: NO_REQUEST, **DeviceCopy("cpu", dimension).arrays()}


def _aligned(size: int) -> int:
    return -(-size // ALIGNED) * ALIGNED


def _wider(width: int) -> int:
    step = NARROW_STEP if width <= NARROW else WIDE_STEP
    return -(-width // step) * step

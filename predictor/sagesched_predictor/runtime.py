"""ONNX Runtime as this package uses it; with `encoder.py` and `head.py` the only importers of onnxruntime.

Three habits of ONNX Runtime are handled here. Its CPU and GPU distributions provide the same module, and with
both installed whichever was unpacked last wins, so that is refused. A session asked for CUDA goes to the CPU
with a log line when a library is missing, so the provider in use is read back and a fall-back is reported.
Its threads spin while they wait, which would steal cores from the gateway beside it, so they do not.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime

from sagesched_predictor.errors import EncoderError

PROVIDERS = {"CPU": "CPUExecutionProvider", "GPU": "CUDAExecutionProvider"}
# One batch of activations is small; without a limit the arena would take what the served model needs.
GPU_MEMORY_LIMIT_BYTES = 1 << 30


def start_session(path: Path, *, device: str, threads: int) -> Any:
    """Load a network.

    Raises:
        EncoderError: it cannot be loaded, or both distributions of ONNX Runtime are installed.
    """
    refuse_both_runtimes()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=_providers(device))
    except Exception as error:  # the runtime's exceptions share no public base class
        raise EncoderError(f"{path}: cannot be loaded ({error}); export it again") from error


class PlainRun:
    """Runs a network with one output."""

    def __init__(self, session: Any) -> None:
        """Run this session."""
        self._session = session

    def __call__(self, inputs: Mapping[str, npt.NDArray[Any]]) -> npt.NDArray[Any]:
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

    def __call__(self, inputs: Mapping[str, npt.NDArray[Any]]) -> npt.NDArray[Any]:
        """The output for these inputs, by name."""
        for name, value in inputs.items():
            self._binding.bind_cpu_input(name, value)
        self._binding.bind_output(self._output)
        self._session.run_with_iobinding(self._binding)
        (output,) = self._binding.copy_outputs_to_cpu()
        return np.asarray(output)


def refuse_both_runtimes() -> None:
    """Raise EncoderError when the CPU and the GPU distribution of ONNX Runtime are both installed."""
    found = [name for name in ("onnxruntime", "onnxruntime-gpu") if _is_installed(name)]
    if len(found) > 1:
        raise EncoderError(
            "onnxruntime and onnxruntime-gpu are both installed and overwrite each other's files; "
            "uninstall both, then install one (extra `gateway` or `gateway-gpu`)"
        )


def fallback_reason(device: str, provider: str) -> str | None:
    """Why `provider` is not what `device` asked for; None when it is."""
    wanted = PROVIDERS[device]
    if provider == wanted:
        return None
    if wanted not in onnxruntime.get_available_providers():
        return f"{wanted} is not in this onnxruntime (install the extra gateway-gpu); running on {provider}"
    return f"{wanted} did not start (no GPU, or no CUDA and cuDNN libraries); running on {provider}"


def _is_installed(distribution: str) -> bool:
    try:
        metadata.distribution(distribution)
    except metadata.PackageNotFoundError:
        return False
    return True


def _providers(device: str) -> list[Any]:
    cpu = PROVIDERS["CPU"]
    if device == "CPU" or PROVIDERS[device] not in onnxruntime.get_available_providers():
        return [cpu]
    # CUDA and cuDNN installed by pip are not on the loader's path; this finds them.
    onnxruntime.preload_dlls()
    options = {"gpu_mem_limit": GPU_MEMORY_LIMIT_BYTES, "arena_extend_strategy": "kSameAsRequested"}
    return [(PROVIDERS[device], options), cpu]

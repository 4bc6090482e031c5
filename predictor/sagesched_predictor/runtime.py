"""Sessions of ONNX Runtime as this package uses them; `network_run.py` runs what is started here.

Three habits of ONNX Runtime are handled here. Its CPU and GPU distributions provide the same module, and with
both installed whichever was unpacked last wins, so that is refused. A session asked for CUDA goes to the CPU
with a log line when a library is missing, so the provider in use is read back and a fall-back is reported.
Its threads spin while they wait, which would steal cores from the gateway beside it, so they do not.
"""

from __future__ import annotations

from importlib import metadata
from pathlib import Path
from typing import Any

import onnxruntime

from sagesched_predictor.errors import EncoderError

PROVIDERS = {"CPU": "CPUExecutionProvider", "GPU": "CUDAExecutionProvider"}
# One batch of activations is small; without a limit the arena would take what the served model needs.
GPU_MEMORY_LIMIT_BYTES = 1 << 30
RECORDED = "enable_cuda_graph"


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
    failure: Exception | None = None
    for providers in _attempts(device):
        try:
            return onnxruntime.InferenceSession(str(path), options, providers=providers)
        except Exception as error:  # the runtime's exceptions share no public base class
            failure = error
    raise EncoderError(f"{path}: cannot be loaded ({failure}); export it again") from failure


def is_recorded(session: Any) -> bool:
    """Whether this session records its kernels, for `network_run.ReplayedRun`."""
    return bool(session.get_provider_options().get(PROVIDERS["GPU"], {}).get(RECORDED) == "1")


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


def _attempts(device: str) -> list[list[Any]]:
    """Lists of providers to try one after the other: not every network can be recorded."""
    cpu = PROVIDERS["CPU"]
    if device == "CPU" or PROVIDERS[device] not in onnxruntime.get_available_providers():
        return [[cpu]]
    # CUDA and cuDNN installed by pip are not on the loader's path; this finds them.
    onnxruntime.preload_dlls()
    options = {"gpu_mem_limit": GPU_MEMORY_LIMIT_BYTES, "arena_extend_strategy": "kSameAsRequested"}
    return [[(PROVIDERS[device], options | {RECORDED: "1"}), cpu], [(PROVIDERS[device], options), cpu]]

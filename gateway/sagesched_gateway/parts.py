"""From settings to the parts that they describe, one function each; `gateway.py` puts the parts together."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path

from sagesched_gateway.dispatch.capacity import EngineSettings
from sagesched_gateway.dispatch.prediction import NoPrediction, PredictionProcess, WorkerOptions
from sagesched_gateway.dispatch.queue_limits import QueueLimits
from sagesched_gateway.scheduling.capacity import KvPolicy
from sagesched_gateway.settings.sections.engine import EngineConfig
from sagesched_gateway.settings.sections.limits import LimitsConfig
from sagesched_gateway.settings.sections.listen import TlsConfig
from sagesched_gateway.settings.sections.predictor import CalibrationConfig, PredictorConfig
from sagesched_gateway.tls.certificates import CertificateError
from sagesched_gateway.tls.follower import CertificateFollower
from sagesched_gateway.tokenizer import ModelTokenizer
from sagesched_predictor.trust import Trust


class StartError(Exception):
    """The gateway cannot start; the message says what to do."""


def refuse_both_runtimes() -> None:
    """Refuse an installation with both builds of ONNX Runtime: they overwrite each other's files.

    Raises:
        StartError: both are there.
    """
    found = []
    for name in ("onnxruntime", "onnxruntime-gpu"):
        try:
            importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
        found.append(name)
    if len(found) > 1:
        raise StartError(
            "both onnxruntime and onnxruntime-gpu are installed and overwrite each other; "
            "uninstall both, then install one of sagesched[gateway], sagesched[gateway-gpu]"
        )


def certificates_of(config: TlsConfig) -> CertificateFollower | None:
    """The certificates, or None; raises StartError where they cannot be used."""
    if config.folder is None:
        return None
    try:
        return CertificateFollower(Path(config.folder), asks_clients=config.require_client_certificates)
    except CertificateError as error:
        raise StartError(f"listen.tls: {error}") from error


def queue_limits_of(config: LimitsConfig) -> QueueLimits:
    """How much may wait."""
    return QueueLimits(requests=config.queued_requests, bytes=config.queued_bytes, code=config.full_code)


def engine_settings_of(config: EngineConfig) -> EngineSettings:
    """What is known of the engine without asking it."""
    return EngineSettings(
        slots=config.slots,
        kv_blocks=config.kv_blocks,
        block_tokens=config.block_tokens,
        kv_policy=None if config.kv_policy is None else _KV_POLICIES[config.kv_policy],
        max_num_tokens=config.max_num_tokens,
        lookahead=config.lookahead,
        kv_headroom_iterations=config.kv_headroom_iterations,
    )


_KV_POLICIES = {
    "MaxUtilization": KvPolicy.MAX_UTILIZATION,
    "GuaranteedNoEvict": KvPolicy.GUARANTEED_NO_EVICT,
}


def tokenizer_of(path: str | None) -> ModelTokenizer | None:
    """The served model's tokenizer; raises StartError where the file is none."""
    try:
        return None if path is None else ModelTokenizer(path)
    except ValueError as error:
        raise StartError(str(error)) from error


def trust_of(config: CalibrationConfig) -> Trust:
    """When predictions count as off."""
    return Trust(config.tolerance, config.window)


def predictor_of(config: PredictorConfig) -> PredictionProcess | NoPrediction:
    """The predictor's process, or none."""
    if config.mode == "None":
        return NoPrediction()
    history = config.history
    settings = {
        "encoder": config.encoder,
        "prior": config.mode != "HistoryOnly",
        "device": config.device,
        "history": {
            "size": history.size,
            "min_similarity": history.min_similarity,
            "file": history.file,
            "snapshot": history.snapshot,
            "retention_days": history.retention_days,
        },
    }
    options = WorkerOptions(
        settings=settings, timeout_s=config.timeout_s, mode=config.mode, history_size=history.size
    )
    return PredictionProcess(options)

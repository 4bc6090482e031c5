"""Prediction of output lengths."""

from __future__ import annotations

from dataclasses import dataclass, field

from sagesched_gateway.settings.section import Section, key_of

PREDICTOR_MODES = ("Shipped", "Artifact", "HistoryOnly", "None")
DEVICES = ("CPU", "GPU")


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryConfig:
    """The predictor's memory of past prompts.

    Attributes:
        size: records kept per model and kind of sampling; the oldest go first.
        min_similarity: cosine similarity from which a past prompt is told as a neighbour, 0..1.
        file: a history to start from while there is no snapshot, or None.
        snapshot: file (mode 0600) in which the history is kept over restarts; None keeps it in memory alone.
            Embeddings can be turned back into something like the prompts: protect it as you protect these.
        retention_days: age at which records are forgotten, in memory and in the snapshot; 0 for never.
        by_tenant: learn from each tenant's prompts for that tenant alone.
    """

    size: int = 10_000
    min_similarity: float = field(default=0.8, metadata=key_of("minSimilarity"))
    file: str | None = None
    snapshot: str | None = None
    retention_days: float = field(default=30.0, metadata=key_of("retentionDays"))
    by_tenant: bool = field(default=False, metadata=key_of("byTenant"))


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrationConfig:
    """When predictions count as off.

    Attributes:
        tolerance: how far the coverage of predicted intervals may be from what they promise, beyond what
            chance allows, as a share of all answers.
        window: requests that it is judged over.
    """

    tolerance: float = 0.05
    window: int = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictorConfig:
    """Prediction of output lengths.

    Attributes:
        mode: one of `PREDICTOR_MODES`: the shipped predictor, one of your own, the encoder without its
            learned prior (all is learned from the pool's answers), or none.
        encoder: folder of the predictor: `encoder.onnx`, `tokenizer.json`, `card.json`, and `head.onnx` where
            it has a prior; required in mode `Artifact`, the shipped one where left out.
        device: one of `DEVICES`.
        timeout_s: a prediction that takes longer is given up (the request itself is never delayed).
        history: the memory of past prompts.
        calibration: when predictions count as off.
    """

    mode: str = "Shipped"
    encoder: str | None = None
    device: str = "CPU"
    timeout_s: float = field(default=5.0, metadata=key_of("timeoutSeconds"))
    history: HistoryConfig = HistoryConfig()
    calibration: CalibrationConfig = CalibrationConfig()


def read(section: Section) -> PredictorConfig:
    """Read `predictor`; raises ConfigError where the encoder is missing."""
    default = PredictorConfig()
    mode = section.choice("mode", default.mode, PREDICTOR_MODES, "mode")
    encoder = section.path_of("encoder")
    if encoder is None and mode == "Artifact":
        section.refuse(
            "encoder",
            f"missing: mode {mode} needs the folder that holds encoder.onnx; "
            f"without one set {section.path('mode')}: Shipped, or None",
        )
    history = section.section("history", HistoryConfig)
    calibration = section.section("calibration", CalibrationConfig)
    return PredictorConfig(
        mode=mode,
        encoder=encoder,
        device=section.choice("device", default.device, DEVICES, "device"),
        timeout_s=section.number("timeoutSeconds", default.timeout_s, above=0.0),
        history=HistoryConfig(
            size=history.whole("size", default.history.size, least=1),
            min_similarity=history.number(
                "minSimilarity", default.history.min_similarity, least=0.0, most=1.0
            ),
            file=history.path_of("file"),
            snapshot=history.path_of("snapshot"),
            retention_days=history.number("retentionDays", default.history.retention_days, least=0.0),
            by_tenant=history.flag("byTenant", default.history.by_tenant),
        ),
        calibration=CalibrationConfig(
            tolerance=calibration.number("tolerance", default.calibration.tolerance, above=0.0, most=0.5),
            window=calibration.whole("window", default.calibration.window, least=100),
        ),
    )

"""Prediction of output lengths."""

from __future__ import annotations

from dataclasses import dataclass, field

from sagesched_gateway.settings.section import ConfigError, Section, key_of

PREDICTOR_MODES = ("HistoryOnly", "None")
DEVICES = ("CPU", "GPU")


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryConfig:
    """The predictor's memory of past prompts.

    Attributes:
        size: records kept; the oldest go first.
        min_similarity: cosine similarity from which a past prompt counts, 0..1.
        file: a history to start from, or None.
    """

    size: int = 10_000
    min_similarity: float = field(default=0.8, metadata=key_of("minSimilarity"))
    file: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictorConfig:
    """Prediction of output lengths.

    Attributes:
        mode: one of `PREDICTOR_MODES`.
        encoder: folder with `encoder.onnx` and `tokenizer.json`; required unless mode is `None`.
        device: one of `DEVICES`.
        timeout_s: a prediction that takes longer is given up (the request itself is never delayed).
        history: the memory of past prompts.
    """

    mode: str = "HistoryOnly"
    encoder: str | None = None
    device: str = "CPU"
    timeout_s: float = field(default=5.0, metadata=key_of("timeoutSeconds"))
    history: HistoryConfig = HistoryConfig()


def read(section: Section) -> PredictorConfig:
    """Read `predictor`; raises ConfigError where the encoder is missing."""
    default = PredictorConfig()
    mode = section.choice("mode", default.mode, PREDICTOR_MODES, "mode")
    encoder = section.path_of("encoder")
    if encoder is None and mode != "None":
        raise ConfigError(
            section.path("encoder"),
            f"missing: mode {mode} needs the folder that holds encoder.onnx; "
            f"without one set {section.path('mode')}: None",
        )
    history = section.section("history", HistoryConfig)
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
        ),
    )

"""`spec.predictor`: prediction of output lengths."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from sagesched_gateway.settings.sections.predictor import (
    DEVICES,
    PREDICTOR_MODES,
    CalibrationConfig,
    HistoryConfig,
    PredictorConfig,
)
from sagesched_operator.api.fields import DIGEST, NAME, Rule, prop
from sagesched_operator.api.model import OciSource, PvcSource, UriSource


@dataclass(frozen=True, slots=True, kw_only=True)
class ArtifactSource:
    """Where a predictor of one's own comes from: exactly one of its fields."""

    pvc: PvcSource | None = prop("A volume claim.", default=None)
    oci: OciSource | None = prop("An image.", default=None)
    uri: UriSource | None = prop("A place on the net.", default=None)

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "[has(self.pvc), has(self.oci), has(self.uri)].filter(given, given).size() == 1",
            "give exactly one of pvc, oci, uri",
        ),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ArtifactSpec:
    """A predictor of one's own: a folder as `sagesched-predictor export` writes it."""

    source: ArtifactSource = prop("Where it comes from.")
    digest: str | None = prop(
        "SHA-256 of it. An image is pulled by it; files of another source are checked against it, as the "
        "model's are.",
        default=None,
        pattern=DIGEST,
        max_length=71,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotSpec:
    """A volume on which the history outlives the pod; it has one writer, so the pool has one pod."""

    claim_name: str = prop(
        "Name of a PersistentVolumeClaim in the pool's namespace. Protect it as you protect prompts.",
        pattern=NAME,
        max_length=253,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class HistorySpec:
    """The predictor's memory of past prompts. It outlives the gateway's container in any case."""

    size: int = prop(
        "Records kept in each gateway; the oldest go first.",
        default=HistoryConfig().size,
        minimum=1,
        maximum=1_000_000,
    )
    retention_days: int = prop(
        "Age at which records are forgotten; 0 for never.",
        default=int(HistoryConfig().retention_days),
        minimum=0,
        maximum=3650,
    )
    by_tenant: bool = prop("Learn from each tenant's prompts for that tenant alone.", default=False)
    snapshot: SnapshotSpec | None = prop("Keep it beyond the pod.", default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrationSpec:
    """When predictions count as off, and the condition PredictorCalibrated is False."""

    tolerance: float = prop(
        "How far the coverage of predicted intervals may be from what they promise, beyond chance.",
        default=CalibrationConfig().tolerance,
        minimum=0.001,
        maximum=0.5,
        # The API server compares whole numbers with the bound's whole part.
        rules=(Rule("self > 0.0 && self <= 0.5", "must be above 0, and at most 0.5"),),
    )
    window: int = prop(
        "Requests that it is judged over.", default=CalibrationConfig().window, minimum=100, maximum=100_000
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuSpec:
    """How the predictor gets at Triton's GPU."""

    sharing: str = prop(
        "`Claim`: a device claim (DRA) that both containers share; `Visible`: NVIDIA_VISIBLE_DEVICES=all "
        "with NVIDIA's container runtime, for nodes whose GPUs all belong to one pod; `Auto`: a claim where "
        "the API server has them; choose `Visible` on a cluster that has claims and no driver for GPUs.",
        default="Auto",
        enum=("Auto", "Claim", "Visible"),
    )

    device_class_name: str = prop(
        "Device class of the claim. The claim takes the place of `nvidia.com/gpu` in `resources`.",
        default="gpu.nvidia.com",
        max_length=253,
    )
    count: int | None = prop(
        "GPUs of the claim; as many as `resources` asks for where it is not given.",
        default=None,
        minimum=1,
        maximum=16,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictorSpec:
    """Prediction of output lengths."""

    mode: str = prop(
        "The shipped predictor, one of your own (`artifact`), one that learns from the pool's answers alone "
        "(`HistoryOnly`), or none.",
        default=PredictorConfig().mode,
        enum=PREDICTOR_MODES,
    )
    artifact: ArtifactSpec | None = prop("With mode Artifact: the predictor.", default=None)
    device: str = prop(
        "Where it runs. On `GPU` it shares Triton's; where it cannot have it, it goes on on the CPU, and "
        "the condition PredictorCalibrated says so.",
        default="CPU",
        enum=DEVICES,
    )
    gpu: GpuSpec = prop("With device GPU: the claim.", factory=GpuSpec)
    history: HistorySpec = prop("Its memory.", factory=HistorySpec)
    calibration: CalibrationSpec = prop("When it counts as off.", factory=CalibrationSpec)

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "self.mode != 'None' || self.device == 'CPU'",
            "device GPU needs a predictor: choose another mode than None",
        ),
        Rule(
            "(self.mode == 'Artifact') == has(self.artifact)",
            "mode Artifact and artifact belong together: give both, or neither",
        ),
    )

"""Makes the model repository that Triton loads from the template beside this file."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from string import Template

from sagesched_emulator.profiles import EngineProfile
from sagesched_gateway.scheduling.capacity import KvPolicy

TEMPLATES = Path(__file__).with_name("repository")
LAYOUTS = ("classic", "llmapi", "vllm")
BLS_MODEL = "tensorrt_llm_bls"
KV_POLICY_NAMES = {
    KvPolicy.MAX_UTILIZATION: "max_utilization",
    KvPolicy.GUARANTEED_NO_EVICT: "guaranteed_no_evict",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Which models stand before the engine.

    Attributes:
        name: one of `LAYOUTS`: `classic` has ensemble and engine, `llmapi` and `vllm` one model each.
        bls_instances: classic: instances of tensorrt_llm_bls; 0 leaves that model out.
        accumulate_tokens: classic: responses of tensorrt_llm_bls repeat all text so far.
        decoupled: llmapi: a request may be streamed.
        max_queue_size: classic: requests that the engine's own queue takes; 0 for any number.
    """

    name: str = "classic"
    bls_instances: int = 0
    accumulate_tokens: bool = True
    decoupled: bool = False
    max_queue_size: int = 0

    def __post_init__(self) -> None:
        """Refuse what there is not."""
        if self.name not in LAYOUTS:
            raise ValueError(f"no layout {self.name!r}, one of {', '.join(LAYOUTS)}")
        if self.bls_instances < 0:
            raise ValueError(f"bls_instances must be at least 0, got {self.bls_instances}")


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineSettings:
    """What the models are told.

    Attributes:
        profile: limits and speed.
        time_scale: wall seconds per engine second.
        stream_interval: a response per so many tokens.
        layout: which models there are.
    """

    profile: EngineProfile
    time_scale: float
    stream_interval: int
    layout: Layout


def make_repository(target: Path, settings: EngineSettings) -> None:
    """Fill the template in, in a folder that does not exist yet."""
    values = _values(settings)
    for template in sorted((TEMPLATES / settings.layout.name).glob("*/config.pbtxt")):
        if template.parent.name == BLS_MODEL and not settings.layout.bls_instances:
            continue
        model = target / template.parent.name
        (model / "1").mkdir(parents=True)  # the ensemble has a version without files
        text = Template(template.read_text(encoding="utf-8")).substitute(values)
        (model / template.name).write_text(text, encoding="utf-8")
        code = template.parent / "1" / "model.py"
        if code.exists():
            shutil.copy(code, model / "1")


def _values(settings: EngineSettings) -> dict[str, str]:
    engine, layout = settings.profile, settings.layout
    return {
        "max_batch_size": str(engine.max_batch_size),
        "kv_tokens": str(engine.kv_tokens),
        "batch_scheduler_policy": KV_POLICY_NAMES[engine.kv_policy],
        "profile": engine.name,
        "time_scale": repr(settings.time_scale),
        "stream_interval": str(settings.stream_interval),
        "bls_instances": str(layout.bls_instances),
        "accumulate_tokens": str(layout.accumulate_tokens).lower(),
        "max_queue_size": str(layout.max_queue_size),
        "decoupled": str(layout.decoupled).lower(),
    }

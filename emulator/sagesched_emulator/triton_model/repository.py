"""Makes the model repository that Triton loads from the template beside this file."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from string import Template

from sagesched_emulator.profiles import EngineProfile
from sagesched_gateway.scheduling.capacity import KvPolicy

TEMPLATE = Path(__file__).with_name("repository")
KV_POLICY_NAMES = {
    KvPolicy.MAX_UTILIZATION: "max_utilization",
    KvPolicy.GUARANTEED_NO_EVICT: "guaranteed_no_evict",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineSettings:
    """What the engine model is told.

    Attributes:
        profile: limits and speed.
        time_scale: wall seconds per engine second.
        stream_interval: a response per so many tokens.
        answers: file of true lengths; None draws them.
        report: where the engine writes its report.
    """

    profile: EngineProfile
    time_scale: float
    stream_interval: int
    answers: Path | None
    report: Path


def make_repository(target: Path, settings: EngineSettings) -> None:
    """Fill the template in, in a folder that does not exist yet."""
    values = _values(settings)
    for template in sorted(TEMPLATE.glob("*/config.pbtxt")):
        model = target / template.parent.name
        (model / "1").mkdir(parents=True)  # the ensemble has a version without files
        text = Template(template.read_text(encoding="utf-8")).substitute(values)
        (model / template.name).write_text(text, encoding="utf-8")
        code = template.parent / "1" / "model.py"
        if code.exists():
            shutil.copy(code, model / "1")


def _values(settings: EngineSettings) -> dict[str, str]:
    engine = settings.profile
    return {
        "max_batch_size": str(engine.max_batch_size),
        "kv_tokens": str(engine.kv_tokens),
        "batch_scheduler_policy": KV_POLICY_NAMES[engine.kv_policy],
        "profile": engine.name,
        "time_scale": repr(settings.time_scale),
        "stream_interval": str(settings.stream_interval),
        "answers": _quotable(settings.answers) if settings.answers else "",
        "report": _quotable(settings.report),
    }


def _quotable(path: Path) -> str:
    """An absolute path as it may stand between quotes in a pbtxt file."""
    return str(path.resolve()).replace("\\", "\\\\").replace('"', '\\"')

"""Engines by name, from a file that `fit` wrote, or fitted on the spot."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from sagesched_emulator.dataset import DatasetError
from sagesched_emulator.profiles import PROFILES, EngineProfile, profile
from sagesched_emulator.step_time import StepTime
from sagesched_gateway.scheduling.capacity import KvPolicy
from sagesched_replay.fitting.limits import Limits, find_limits
from sagesched_replay.fitting.spans import read_spans
from sagesched_replay.fitting.step_fit import StepFit, fit_step_time
from sagesched_replay.formats.text import digest_of

FITTED = "fit:"
BLOCK_TOKENS = 32
MAX_NUM_TOKENS = 8192
"""TensorRT-LLM's defaults; a recording does not show them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FittedEngine:
    """An engine out of a recording.

    Attributes:
        profile: for replay.
        fit: how good its step time is.
        limits: how its limits were found.
        digest: of the recording.
    """

    profile: EngineProfile
    fit: StepFit
    limits: Limits
    digest: str

    def lines(self) -> list[str]:
        """What to tell people."""
        step, fit = self.profile.step_time, self.fit
        return [
            f"step time: {step.base_s * 1e3:.3f} ms + {step.per_sequence_s * 1e6:.2f} us per sequence + "
            f"{step.per_cached_token_s * 1e9:.2f} ns per cached token + "
            f"{step.prefill_s_per_token * 1e6:.2f} us per prompt token",
            f"error on {fit.left_out} requests left out of the fit ({fit.fitted} in it): median "
            f"{fit.error_p50:.1%}, 90th percentile {fit.error_p90:.1%}",
            f"seen with {fit.batch[0]:.0f} to {fit.batch[1]:.0f} sequences at once",
            f"limits: {self.profile.max_batch_size} slots, {self.profile.kv_tokens} KV tokens "
            f"({self.limits.word})",
        ]


def fit_engine(
    recording: Path, *, slots: int | None = None, kv_tokens: int | None = None, reserves_ahead: bool = False
) -> FittedEngine:
    """Fit an engine to a recording.

    Args:
        recording: a gateway's.
        slots: places in the batch; None to find them.
        kv_tokens: size of the KV cache; None to find it.
        reserves_ahead: whether it reserves KV for max_tokens.

    Raises:
        DatasetError: the recording cannot tell, and why.
    """
    spans = read_spans(recording)
    fit = fit_step_time(spans, str(recording))
    limits = find_limits(spans, str(recording), slots, kv_tokens)
    longest = int(spans.prompt.max())
    digest = digest_of(recording)
    return FittedEngine(
        profile=EngineProfile(
            name=f"{FITTED}{recording.name}",
            step_time=fit.step_time,
            max_batch_size=limits.slots,
            max_num_tokens=max(MAX_NUM_TOKENS, longest, limits.slots),
            kv_blocks=-(-limits.kv_tokens // BLOCK_TOKENS),
            block_tokens=BLOCK_TOKENS,
            kv_policy=KvPolicy.GUARANTEED_NO_EVICT if reserves_ahead else KvPolicy.MAX_UTILIZATION,
        ),
        fit=fit,
        limits=limits,
        digest=digest,
    )


def write_engine(path: Path, engine: FittedEngine) -> None:
    """Write an engine for `engine_of`, with where it came from."""
    profile = engine.profile
    fields = {
        "name": profile.name,
        "step_time": asdict(profile.step_time),
        "max_batch_size": profile.max_batch_size,
        "max_num_tokens": profile.max_num_tokens,
        "kv_blocks": profile.kv_blocks,
        "block_tokens": profile.block_tokens,
        "kv_policy": profile.kv_policy.value,
        "fitted_to_sha256": engine.digest,
        "error_p50": engine.fit.error_p50,
        "error_p90": engine.fit.error_p90,
    }
    path.write_text(json.dumps(fields, indent=2) + "\n", encoding="utf-8")


def engine_of(name: str) -> tuple[EngineProfile, FittedEngine | None]:
    """The engine of that name, `fit:RECORDING`, or of a file; with its fit where it was made just now.

    Raises:
        DatasetError: a recording cannot tell, or the file is no engine.
        ValueError: no engine of that name.
    """
    if name.startswith(FITTED):
        fitted = fit_engine(Path(name.removeprefix(FITTED)))
        return fitted.profile, fitted
    if name.endswith(".json") or (name not in PROFILES and Path(name).is_file()):
        return _read(Path(name)), None
    return profile(name), None


def _read(path: Path) -> EngineProfile:
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
        return EngineProfile(
            name=str(fields["name"]),
            step_time=StepTime(**{name: float(value) for name, value in fields["step_time"].items()}),
            max_batch_size=int(fields["max_batch_size"]),
            max_num_tokens=int(fields["max_num_tokens"]),
            kv_blocks=int(fields["kv_blocks"]),
            block_tokens=int(fields["block_tokens"]),
            kv_policy=KvPolicy(fields["kv_policy"]),
        )
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read: {error.strerror}") from error
    except (ValueError, OverflowError, KeyError, TypeError, AttributeError) as error:
        raise DatasetError(
            f"{path}: not an engine as `sagesched-replay fit --out` writes it: {error}"
        ) from error

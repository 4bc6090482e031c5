"""What the gateways of a pool report, put together. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from sagesched_gateway.status import GatewayStatus
from sagesched_operator.control.pods import PodView

FRESH_S = 60.0
"""An older report says nothing any more."""

_SIZES = ((100_000, "100k+"), (10_000, "10k+"), (1_000, "1k+"), (100, "100+"), (1, "1+"))
_STEP = 0.02
MIXED = "mixed"


@dataclass(frozen=True, slots=True)
class Report:
    """One gateway's status, and when it was read (monotonic seconds)."""

    status: GatewayStatus
    read_at: float


Reports = Mapping[str, Report]
"""By uid of the pod."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """A pool's gateways together, in words and buckets that seldom change.

    Attributes:
        num_reporting: ready pods whose report is fresh.
        policy: in effect; `mixed` where pods differ.
        fallback: why another policy is in effect than configured, or why it cannot work as it should.
        digests: of the settings that are in effect.
        refused: why a gateway refuses its settings.
        certificates: what is wrong with a gateway's certificates.
        predictor_mode, provider: as `policy`.
        history: bucket of the smallest history.
        coverage: smallest share of recent answers inside their 90 % interval, in steps of 0.02; None while
            no gateway can tell.
        in_flight: smallest number of requests that a gateway lets into its engine at once; 0 where unknown.
        predictor_trouble: (reason, message) of the first predictor that is not as asked for.
        not_ready: why a gateway takes no requests.
    """

    num_reporting: int = 0
    policy: str = ""
    fallback: str = ""
    digests: frozenset[str] = frozenset()
    refused: str = ""
    certificates: str = ""
    predictor_mode: str = ""
    provider: str = ""
    history: str = ""
    coverage: float | None = None
    in_flight: int = 0
    predictor_trouble: tuple[str, str] = ("", "")
    not_ready: str = ""


def summarize(pods: Iterable[PodView], reports: Reports) -> Summary:
    """Put the reports of pods that are not ending together."""
    told = [(pod, reports[pod.uid].status) for pod in pods if pod.uid in reports and not pod.is_ending]
    statuses = [status for _, status in told]
    working = [status for pod, status in told if pod.is_ready]
    return Summary(
        num_reporting=len(working),
        policy=_common(status.policy for status in working),
        fallback=next(filter(None, map(_fallback, working)), ""),
        digests=frozenset(status.config_digest for status in statuses),
        refused=next((status.config.error for status in statuses if status.config.error), ""),
        certificates=next((status.tls.problem for status in statuses if status.tls.problem), ""),
        predictor_mode=_common(status.predictor.mode for status in working),
        provider=_common(status.predictor.provider or "" for status in working),
        history=_bucket([status.predictor.history for status in working]),
        coverage=_smallest_coverage(working),
        in_flight=min((status.engine.slots for status in working if status.engine.slots), default=0),
        predictor_trouble=next(filter(None, map(_predictor_trouble, working)), ("", "")),
        not_ready=next((status.reason for status in statuses if not status.ready), ""),
    )


def _common(values: Iterable[str]) -> str:
    found = set(values)
    return found.pop() if len(found) == 1 else (MIXED if found else "")


def _fallback(status: GatewayStatus) -> str:
    if not status.configured_policy or status.policy == status.configured_policy:
        return status.policy_note
    why = f": {status.policy_reason}" if status.policy_reason else ""
    return f"policy {status.policy} in effect instead of {status.configured_policy}{why}"


def _predictor_trouble(status: GatewayStatus) -> tuple[str, str] | None:
    predictor = status.predictor
    if predictor.mode == "None":
        return None
    if predictor.fallback:
        return "DeviceFallback", f"the predictor runs on {predictor.provider}: {predictor.fallback}"
    if predictor.state != "ready":
        return "PredictorStarting", f"the predictor is {predictor.state}"
    if not (predictor.calibrated and predictor.useful):
        return "PredictorOffTarget", predictor.reason
    if predictor.problem:
        return "PredictorIncomplete", predictor.problem
    return None


def _smallest_coverage(working: Iterable[GatewayStatus]) -> float | None:
    told = [status.predictor.coverage_90 for status in working if status.predictor.coverage_90 is not None]
    return round(min(told) / _STEP) * _STEP if told else None


def _bucket(sizes: Sequence[int]) -> str:
    if not sizes:
        return ""
    return next((name for least, name in _SIZES if min(sizes) >= least), "0")

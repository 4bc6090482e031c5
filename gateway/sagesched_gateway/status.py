"""The gateway's report about itself, served as JSON at `/status`.

The gateway writes it and the operator reads it, both through this module; it imports nothing but the
standard library. Names in the JSON are the names of the fields. A reader ignores fields it does not know
and takes defaults for those it misses, so that gateway and operator may be of different releases.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields, is_dataclass
from functools import cache
from typing import Any, TypeVar, get_type_hints

SCHEMA = 1
"""Raised when a field changes its meaning; new fields do not raise it."""

_MOST = 1e15
"""Of any figure. Whoever reads a report computes with it, and has it from anybody."""


class StatusError(ValueError):
    """A report cannot be read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueStatus:
    """Requests in this gateway.

    Attributes:
        queued: waiting here.
        queued_bytes: their messages together.
        in_flight: sent to the engine and not ended by it.
        backlog_s: predicted service seconds of everything waiting.
        backlog_p50_s: predicted seconds until all of it has started, exceeded in half of the cases.
        backlog_p90_s: likewise, exceeded in one of ten.
        eta_p50_s: predicted wait of a newcomer of the usual size, exceeded in half of the cases.
        eta_p90_s: likewise, exceeded in one of ten.
        oldest_wait_s: since the earliest of the waiting arrived; 0 when nothing waits.
        gamma: tail rate in effect (1/s); None where the policy has none.
        evictions: requests that `amin` took back and began anew, since the start.
        discarded_tokens: output tokens that these had generated in vain.
    """

    queued: int = 0
    queued_bytes: int = 0
    in_flight: int = 0
    backlog_s: float = 0.0
    backlog_p50_s: float = 0.0
    backlog_p90_s: float = 0.0
    eta_p50_s: float = 0.0
    eta_p90_s: float = 0.0
    oldest_wait_s: float = 0.0
    gamma: float | None = None
    evictions: int = 0
    discarded_tokens: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class DrainStatus:
    """How long a drain would take if it began now.

    Attributes:
        in_flight_s: predicted seconds until all that runs has ended, exceeded in one of ten cases.
        all_s: predicted seconds until all that is here has ended, what waits included, likewise.
        max_s: longest time that a drain may be given (`drain.maxSeconds`).
        budget_s: seconds that one would be given, by `drain.quantile`; while draining, seconds left of them.
    """

    in_flight_s: float = 0.0
    all_s: float = 0.0
    max_s: float = 0.0
    budget_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class TenantStatus:
    """A tenant that waits, where tenants have shares.

    Attributes:
        name: the tenant.
        priority: of its requests; another priority is another entry.
        weight: its share relative to the others'.
        queued: its requests that wait.
        backlog_s: predicted service seconds of these.
        owes_s: service seconds over weight by which it was charged more than the one whose turn it is.
    """

    name: str = ""
    priority: int = 0
    weight: float = 1.0
    queued: int = 0
    backlog_s: float = 0.0
    owes_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineStatus:
    """The engine's capacity as the gateway sees it.

    Attributes:
        slots: places in the running batch.
        kv_blocks: size of the KV pool in blocks; None where unknown.
        kv_blocks_reserved: blocks counted for what is in flight.
        kv_blocks_usable: blocks that may be filled, by what is known and measured; None for any number.
        iteration_s: duration of one engine iteration as now measured.
        foreign_requests: inside the engine without having come through here.
        metrics_stale: its metrics stand still although it works.
        waits: requests so far that had to wait inside it.
    """

    slots: int = 0
    kv_blocks: int | None = None
    kv_blocks_reserved: int = 0
    kv_blocks_usable: int | None = None
    iteration_s: float = 0.0
    foreign_requests: int = 0
    metrics_stale: bool = False
    waits: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictorStatus:
    """The predictor.

    Attributes:
        mode: `Shipped`, `Artifact`, `HistoryOnly` or `None`.
        state: `starting`, `ready`, `restarting` or `off`.
        provider: ONNX Runtime's execution provider in use, or None.
        fallback: why another provider than the asked one is used, or None.
        history: records in the history.
        restarts: how often its process was started again.
        problem: what it last had to do without, for example a history file; empty where nothing.
        calibrated: predicted intervals hold what they promise, or too few answers have ended to tell.
        useful: the predicted order is worth following.
        reason: what is wrong with either, in words; empty where nothing is.
        coverage_50: share of recent answers inside the 50 % interval as used; None while too few have ended.
        coverage_80: as `coverage_50`, of the 80 % interval.
        coverage_90: as `coverage_50`, of the 90 % interval.
        rescale: what predicted lengths are multiplied by; 1 where they are used as they come.
        concordance: agreement of predicted and real order, about Kendall's tau; None while too few ended.
    """

    mode: str = "None"
    state: str = "off"
    provider: str | None = None
    fallback: str | None = None
    history: int = 0
    restarts: int = 0
    problem: str = ""
    calibrated: bool = True
    useful: bool = True
    reason: str = ""
    coverage_50: float | None = None
    coverage_80: float | None = None
    coverage_90: float | None = None
    rescale: float = 1.0
    concordance: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigStatus:
    """The settings file.

    Attributes:
        file_digest: SHA-256 of the settings that the file held when it last could be read. It differs from
            `GatewayStatus.config_digest` while something waits for a restart.
        error: why the file as it is now is refused, `file:line: ...`; empty where it is not.
        waits_for_restart: dotted paths of settings that differ in the file and are not in effect.
    """

    file_digest: str = ""
    error: str = ""
    waits_for_restart: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsStatus:
    """TLS for callers.

    Attributes:
        enabled: gRPC and HTTP are served with it.
        expires_at: when the certificate in effect expires, seconds since the epoch; None without TLS.
        problem: why renewed files are refused, or that the certificate has expired; empty where neither.
    """

    enabled: bool = False
    expires_at: float | None = None
    problem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayStatus:
    """The whole report.

    Attributes:
        schema: version of this form, `SCHEMA` where it was written.
        ready: the gateway should be given work.
        reason: why it is not ready; empty when it is.
        draining: it is shutting down.
        policy: name of the policy in effect.
        policy_note: why the policy cannot work on this engine as it should; empty where it can.
        policy_reason: why this is not the configured one, in words; empty where it is.
        configured_policy: name of the policy asked for.
        config_digest: SHA-256 of the settings in effect (`sagesched_gateway.settings.config.digest`).
        config: the file they came from.
        tenants: the tenants that wait, most work first, 32 at most.
        counters: totals since start by name.
        versions: component -> version.
    """

    schema: int = SCHEMA
    ready: bool
    reason: str = ""
    draining: bool = False
    policy: str
    policy_note: str = ""
    policy_reason: str = ""
    configured_policy: str = ""
    config_digest: str = ""
    config: ConfigStatus = ConfigStatus()
    tls: TlsStatus = TlsStatus()
    queue: QueueStatus = QueueStatus()
    engine: EngineStatus = EngineStatus()
    predictor: PredictorStatus = PredictorStatus()
    drain: DrainStatus = DrainStatus()
    tenants: tuple[TenantStatus, ...] = ()
    counters: Mapping[str, int] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)


def to_mapping(status: GatewayStatus) -> dict[str, Any]:
    """The report as JSON-ready mapping."""
    return asdict(status)


def parse_status(mapping: Mapping[str, object]) -> GatewayStatus:
    """Read a report.

    Raises:
        StatusError: it is not a mapping, lacks `ready` or `policy`, or a field is of the wrong type or beyond
            all bounds.
    """
    return _read(GatewayStatus, mapping, "")


_T = TypeVar("_T")


def _read(cls: type[_T], raw: object, path: str) -> _T:
    if not isinstance(raw, Mapping):
        raise StatusError(f"{path or 'status'}: must be a mapping, not {type(raw).__name__}")
    hints = _hints(cls)  # type: ignore[arg-type]  # mypy takes a class for not hashable
    values: dict[str, object] = {}
    for item in fields(cls):  # type: ignore[arg-type]  # only called with the dataclasses above
        where = f"{path}.{item.name}" if path else item.name
        if item.name in raw:
            values[item.name] = _value(hints[item.name], raw[item.name], where)
        elif item.default is MISSING and item.default_factory is MISSING:
            raise StatusError(f"{where}: missing")
    return cls(**values)


@cache
def _hints(cls: type) -> dict[str, Any]:
    """Of a class; an operator reads hundreds of reports a second."""
    return get_type_hints(cls)


def _value(hint: Any, value: object, where: str) -> object:
    if is_dataclass(hint) and isinstance(hint, type):
        return _read(hint, value, where)
    if hint in (Mapping[str, int], Mapping[str, str]):
        if not isinstance(value, Mapping):
            raise StatusError(f"{where}: must be a mapping, not {type(value).__name__}")
        return dict(value)
    if hint == tuple[TenantStatus, ...]:
        if not isinstance(value, list | tuple):
            raise StatusError(f"{where}: must be a list, not {type(value).__name__}")
        return tuple(_read(TenantStatus, item, f"{where}[{place}]") for place, item in enumerate(value))
    if hint == tuple[str, ...]:
        if not isinstance(value, list | tuple) or not all(isinstance(item, str) for item in value):
            raise StatusError(f"{where}: must be a list of words, not {value!r:.60}")
        return tuple(value)
    # A float that happens to be whole may arrive as an int; a bool is never a number.
    allowed = hint | int if hint is float or hint == float | None else hint
    if not isinstance(value, allowed) or (isinstance(value, bool) and hint is not bool):
        raise StatusError(f"{where}: unexpected {value!r:.60}")
    if isinstance(value, int | float) and not -_MOST <= value <= _MOST:  # nor is it not a number
        raise StatusError(f"{where}: out of all bounds")
    return value

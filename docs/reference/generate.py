"""Writes the reference pages that follow from the code (`make docs`).

A test compares the pages with what this module makes, so that they cannot fall behind.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

from prometheus_client import Metric

import sagesched_gateway.request  # noqa: F401  # its errors are part of the tree
from sagesched_gateway.api.status_codes import grpc_code, http_status
from sagesched_gateway.dispatch.ports import DispatchSnapshot, PredictorState
from sagesched_gateway.errors import GatewayError, QueueFullError, UpstreamError
from sagesched_gateway.metrics import GatewayMetrics, SnapshotCollector
from sagesched_gateway.settings.config import GatewayConfig
from sagesched_gateway.settings.live import LiveSettings
from sagesched_gateway.settings.reloadable import RELOADABLE
from sagesched_gateway.settings.section import AUTO
from sagesched_gateway.settings.sections.engine import EngineConfig
from sagesched_gateway.settings.sections.tenants import TenantsConfig
from sagesched_predictor.trust import TrustReport

sys.path.insert(0, str(Path(__file__).parent))

from generate_operator_metrics import operator_metrics_page  # found by the line above
from generate_pool import pool_page
from generate_status import status_page
from markdown_page import attributes_of, page, table

_MIB = 2**20
_UNITS = {"seconds": "seconds", "bytes": "bytes", "tokens": "tokens", "blocks": "KV blocks", "rate": "1/s"}


def metrics_page() -> str:
    """Every series of `/metrics` that is the gateway's own."""
    rows = []
    for family in sorted(_all_families(), key=lambda family: family.name):
        sample = family.samples[0]
        labels = sorted(set(sample.labels) - {"le"})
        name = sample.name if family.type in ("counter", "info") else family.name
        rows.append((f"`{name}`", family.type, _unit(family), ", ".join(labels), family.documentation))
    return page(
        "Metrics",
        """
        Served at `/metrics` on the metrics port, before Triton's own series. Triton's waiting gauge
        (`nv_trt_llm_request_metrics`, `request_type="waiting"`) has the gateway's queue added to it. Labels
        take few values: models are those that were asked for, 32 at most, then `other`; outcomes and reasons
        are words of [errors](errors.md) or those named here.
        """,
        table(("series", "type", "unit", "labels", "meaning"), rows),
    )


def errors_page() -> str:
    """Every error that a caller may see."""
    rows = []
    for kind in _error_kinds():
        retry_s = kind.retry_after_s
        rows.append(
            (
                f"`{kind.word}`",
                *_codes(kind),
                _again(kind, retry_s),
                _sentence(inspect.getdoc(kind) or ""),
                kind.remedy,
            )
        )
    return page(
        "Errors",
        """
        Each error has a stable word: the label of metrics, the `outcome` of recordings, the header
        `x-sagesched-error` of HTTP answers. gRPC callers get the code, HTTP callers the status, both of them
        the message. "Again" tells whether the same request may succeed later; HTTP says so with
        `Retry-After`.
        """,
        table(("word", "gRPC", "HTTP", "again", "when", "what to do"), rows),
    )


def settings_page() -> str:
    """Every setting."""
    rows = [
        (f"`{path}`", default, "at once" if path in RELOADABLE else "restart", meaning)
        for path, default, meaning in _settings(GatewayConfig(), "")
    ]
    return page(
        "Settings",
        """
        One YAML file, `sagesched-gateway serve --config FILE`; `sagesched-gateway check --config FILE` says
        what is wrong with it and prints it in full. Everything has a default. A changed file is noticed
        within a second: settings marked "at once" take effect, the others wait for the next start, and
        `/status` names them.
        """,
        table(("setting", "default", "takes effect", "meaning"), rows),
    )


class _Certificates(NamedTuple):
    problem: str = ""
    expires_at: float = 0.0


PAGES: dict[str, Callable[[], str]] = {
    "metrics.md": metrics_page,
    "errors.md": errors_page,
    "settings.md": settings_page,
    "status.md": status_page,
    "pool.md": pool_page,
    "operator-metrics.md": operator_metrics_page,
}


def main() -> int:
    """Write all pages beside this module."""
    for name, make in PAGES.items():
        (Path(__file__).parent / name).write_text(make(), encoding="utf-8")
    return 0


def _all_families() -> Iterable[Metric]:
    """All families with at least one sample each: labels show on samples only."""
    metrics = GatewayMetrics()
    metrics.request_received("m")
    metrics.request_refused("queue-full")
    metrics.request_finished("completed", 1.0, 1)
    metrics.config_read("applied")
    metrics.recorded("written", 1)
    metrics.prediction_done("history", 1.0)
    metrics.prediction_failed("timeout")
    collector = SnapshotCollector(
        lambda: _SNAPSHOT, LiveSettings(_SETTINGS), version="0", certificates=_Certificates()
    )
    metrics.registry.register(collector)
    families = list(metrics.registry.collect())
    for family in families:
        assert family.samples, f"{family.name}: show it a sample here, so that its labels can be told"
    return families


_SETTINGS = GatewayConfig(tenants=TenantsConfig(enabled=True))
_SNAPSHOT = DispatchSnapshot(
    queued=0,
    queued_bytes=0,
    in_flight=0,
    policy="fcfs",
    backlog_s=0.0,
    gamma=0.0,
    slots=1,
    kv_blocks_reserved=0,
    kv_blocks=1,
    iteration_s=0.0,
    draining=False,
    predictor=PredictorState(mode="None", state="off"),
    trust=TrustReport(coverage={0.9: 0.9}, concordance=0.4),
)


def _unit(family: Metric) -> str:
    if family.type == "info":
        return ""
    words = family.name.removesuffix("_limit").removesuffix("_reserved").split("_")
    return next((unit for word, unit in _UNITS.items() if words[-1] == word), "")


def _error_kinds(root: type[GatewayError] = GatewayError) -> Iterator[type[GatewayError]]:
    for kind in root.__subclasses__():
        if "word" in vars(kind):
            yield kind
        yield from _error_kinds(kind)


def _codes(kind: type[GatewayError]) -> tuple[str, str]:
    if issubclass(kind, UpstreamError):
        return "Triton's", "as Triton's"
    codes = ("UNAVAILABLE", "RESOURCE_EXHAUSTED") if issubclass(kind, QueueFullError) else ("",)
    errors = [kind("", code=code) if code else kind("") for code in codes]  # type: ignore[call-arg]
    return (
        " or ".join(f"`{grpc_code(error).name}`" for error in errors),
        " or ".join(str(http_status(error)) for error in errors),
    )


def _settings(section: object, path: str) -> Iterator[tuple[str, str, str]]:
    meanings = attributes_of(inspect.getdoc(type(section)) or "")
    for item in fields(section):  # type: ignore[arg-type]  # only called with the settings' dataclasses
        here = f"{path}{item.metadata.get('key', item.name)}"
        value = getattr(section, item.name)
        if is_dataclass(value):
            yield from _settings(value, f"{here}.")
        else:
            yield (
                here,
                _default(here, value, isinstance(section, EngineConfig)),
                _in_yaml(meanings[item.name], sys.modules[type(section).__module__]),
            )


def _in_yaml(meaning: str, module: ModuleType) -> str:
    """The meaning in the words of the file: allowed values for names of constants, null for None."""

    def allowed(constant: re.Match[str]) -> str:
        return ", ".join(f"`{value}`" for value in getattr(module, constant[1]))

    return re.sub(r"(?<!`)\bNone\b(?!`)", "`null`", re.sub(r"`([A-Z_]+[A-Z])`", allowed, meaning))


def _default(path: str, value: object, is_auto: bool) -> str:
    if value is None:
        return f"`{AUTO}`" if is_auto else "not set"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, tuple):
        return "none"
    if isinstance(value, int) and path.endswith("Bytes"):
        size = f"{value // _MIB} MiB" if value % _MIB == 0 else f"{value // 1024} KiB"
        return f"`{value}` ({size})"
    return f"`{value:g}`" if isinstance(value, float) else f"`{value}`"


def _again(kind: type[GatewayError], retry_s: float | None) -> str:
    if issubclass(kind, QueueFullError):
        return "when told"
    return "no" if retry_s is None else f"after {retry_s:g} s"


def _sentence(docstring: str) -> str:
    return " ".join(docstring.partition("\n\n")[0].split())


if __name__ == "__main__":
    sys.exit(main())

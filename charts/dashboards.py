"""The Grafana dashboards, from lists of panels: `make manifests`. Tests compare, and know every series."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "sagesched" / "dashboards"
COLUMNS = 24
HEIGHT = 8


@dataclass(frozen=True, slots=True)
class Panel:
    """One graph.

    Attributes:
        title: what it shows.
        unit: Grafana's name of the unit.
        queries: (PromQL, legend).
        help: how to read it.
    """

    title: str
    unit: str
    queries: Sequence[tuple[str, str]]
    help: str = ""


_OF_POOL = 'namespace="$namespace",pool="$pool"'


def _quantile(quantile: float, series: str) -> str:
    return (
        f"histogram_quantile({quantile}, sum by (le) (rate({series}_bucket{{{_OF_POOL}}}[$__rate_interval])))"
    )


def _quantiles(series: str) -> list[tuple[str, str]]:
    return [(_quantile(quantile, series), f"p{int(quantile * 100)}") for quantile in (0.5, 0.9, 0.99)]


def _gauge(series: str, how: str = "sum") -> str:
    return f"{how}({series}{{{_OF_POOL}}})"


def _rate(series: str, by: str = "") -> str:
    grouping = f" by ({by})" if by else ""
    return f"sum{grouping} (rate({series}{{{_OF_POOL}}}[$__rate_interval]))"


POOL = (
    Panel(
        "Time to first token",
        "s",
        _quantiles("sagesched_gateway_time_to_first_token_seconds"),
        "Arrival at the gateway to the first token.",
    ),
    Panel("Time to last token", "s", _quantiles("sagesched_gateway_time_to_last_token_seconds")),
    Panel(
        "Time in the queue",
        "s",
        _quantiles("sagesched_gateway_queue_seconds"),
        "What order can change. Near zero: the engine has room, and every policy is the same.",
    ),
    Panel(
        "Backlog of each pod",
        "s",
        [(f"sagesched_gateway_backlog_seconds{{{_OF_POOL}}}", "{{pod}}")],
        "Predicted engine time of everything that waits. Scaling goes by it.",
    ),
    Panel(
        "Requests waiting and in flight",
        "short",
        [
            (_gauge("sagesched_gateway_queued_requests"), "waiting"),
            (_gauge("sagesched_gateway_in_flight_requests"), "in flight"),
            (_gauge("sagesched_gateway_engine_slots"), "slots of the engines"),
        ],
    ),
    Panel(
        "Requests ended",
        "reqps",
        [(_rate("sagesched_gateway_requests_finished_total", "outcome"), "{{outcome}}")],
    ),
    Panel(
        "Requests refused",
        "reqps",
        [(_rate("sagesched_gateway_requests_refused_total", "reason"), "{{reason}}")],
    ),
    Panel("Output tokens", "short", [(_rate("sagesched_gateway_output_tokens_sum"), "tokens per second")]),
    Panel(
        "KV blocks",
        "short",
        [
            (_gauge("sagesched_gateway_engine_kv_blocks_reserved"), "counted for requests"),
            (_gauge("sagesched_gateway_engine_kv_blocks"), "of the engines"),
        ],
    ),
    Panel(
        "Engine iteration",
        "s",
        [(_gauge("sagesched_gateway_engine_iteration_seconds", "avg"), "mean of the pods")],
    ),
    Panel(
        "Policy in effect",
        "short",
        [(f"count by (policy) (sagesched_gateway_policy_info{{{_OF_POOL}}})", "{{policy}}")],
        "Pods by policy.",
    ),
    Panel(
        "Pods wanted by the scaling signal",
        "short",
        [('max(sagesched_pool_wanted_replicas{pool_namespace="$namespace",pool="$pool"})', "wanted")],
        "Absent where the signal is not known.",
    ),
    Panel(
        "Predictions", "reqps", [(_rate("sagesched_predictor_predictions_total", "source"), "by {{source}}")]
    ),
    Panel(
        "Predictions that did not come",
        "reqps",
        [(_rate("sagesched_predictor_failures_total", "reason"), "{{reason}}")],
        "Their requests are ordered by the pool's own distribution.",
    ),
    Panel("Time of a prediction", "s", _quantiles("sagesched_predictor_seconds")),
    Panel("Answers remembered", "short", [(f"sagesched_predictor_history_records{{{_OF_POOL}}}", "{{pod}}")]),
)

OPERATOR = (
    Panel("Leader", "short", [("sagesched_operator_leader", "{{pod}}")], "1 for exactly one replica."),
    Panel("Pools", "short", [("max(sagesched_operator_pools)", "pools")]),
    Panel("Pools that wait to be looked at", "short", [("sagesched_operator_queue_depth", "{{pod}}")]),
    Panel(
        "Looks at pools",
        "ops",
        [("sum by (result) (rate(sagesched_operator_reconciles_total[$__rate_interval]))", "{{result}}")],
    ),
    Panel(
        "Time of a look",
        "s",
        [
            (
                f"histogram_quantile({quantile}, sum by (le) "
                "(rate(sagesched_operator_reconcile_seconds_bucket[$__rate_interval])))",
                f"p{int(quantile * 100)}",
            )
            for quantile in (0.5, 0.99)
        ],
    ),
    Panel(
        "Requests to the API server",
        "reqps",
        [
            (
                "sum by (verb, kind) (rate(sagesched_operator_api_requests_total[$__rate_interval]))",
                "{{verb}} {{kind}}",
            )
        ],
    ),
    Panel(
        "Requests that were refused",
        "reqps",
        [
            (
                "sum by (verb, kind, code) "
                '(rate(sagesched_operator_api_requests_total{code!~"2.."}[$__rate_interval]))',
                "{{code}} {{verb}} {{kind}}",
            )
        ],
        "0 is no answer at all.",
    ),
    Panel(
        "Drift put right",
        "ops",
        [("sum by (kind) (rate(sagesched_operator_drift_repairs_total[$__rate_interval]))", "{{kind}}")],
        "Somebody else changes or deletes what belongs to a pool.",
    ),
    Panel(
        "Gateways asked for their status",
        "reqps",
        [
            (
                "sum by (outcome) (rate(sagesched_operator_gateway_reports_total[$__rate_interval]))",
                "{{outcome}}",
            )
        ],
    ),
    Panel(
        "Backlog of pools",
        "s",
        [("max by (pool_namespace, pool) (sagesched_pool_backlog_seconds)", "{{pool_namespace}}/{{pool}}")],
    ),
)


def dashboards() -> dict[str, str]:
    """File name → JSON."""
    variables = [
        _variable("namespace", "label_values(sagesched_gateway_build_info, namespace)"),
        _variable("pool", 'label_values(sagesched_gateway_build_info{namespace="$namespace"}, pool)'),
    ]
    return {
        "operator.json": _dashboard("sagesched-operator", "SageSched operator", OPERATOR, []),
        "pool.json": _dashboard("sagesched-pool", "SageSched pool", POOL, variables),
    }


def _dashboard(uid: str, title: str, panels: Sequence[Panel], variables: list[dict[str, Any]]) -> str:
    source = {"type": "datasource", "name": "datasource", "label": "Data source", "query": "prometheus"}
    document = {
        "uid": uid,
        "title": title,
        "tags": ["sagesched"],
        "schemaVersion": 39,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-1h", "to": "now"},
        "templating": {"list": [source, *variables]},
        "panels": [_panel(number, panel) for number, panel in enumerate(panels)],
    }
    return json.dumps(document, indent=1) + "\n"


def _variable(name: str, query: str) -> dict[str, Any]:
    return {
        "type": "query",
        "name": name,
        "label": name.capitalize(),
        "datasource": _SOURCE,
        "query": {"query": query, "refId": name},
        "refresh": 2,
        "sort": 1,
    }


_SOURCE = {"type": "prometheus", "uid": "${datasource}"}


def _panel(number: int, panel: Panel) -> dict[str, Any]:
    width = COLUMNS // 2
    return {
        "id": number + 1,
        "type": "timeseries",
        "title": panel.title,
        "description": panel.help,
        "datasource": _SOURCE,
        "gridPos": {"x": number % 2 * width, "y": number // 2 * HEIGHT, "w": width, "h": HEIGHT},
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
        "options": {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi"}},
        "targets": [
            {"refId": chr(ord("A") + index), "expr": query, "legendFormat": legend, "datasource": _SOURCE}
            for index, (query, legend) in enumerate(panel.queries)
        ],
    }

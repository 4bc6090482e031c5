"""Dashboards and alerts ask only for series that exist, and every alert has its runbook."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml

from sagesched_operator.api.pool import parse_pool
from sagesched_operator.build.prometheus_rule import prometheus_rule
from sagesched_operator.build.scaler import METRIC
from sagesched_operator.build.surroundings import Installation
from sagesched_operator.control.metrics import OperatorMetrics

ROOT = Path(__file__).parents[3]
CHART = ROOT / "charts" / "sagesched"
RUNBOOKS = ROOT / "docs" / "runbooks"
SERIES = re.compile(r"\bsagesched_[a-z_]+")
POOL = {
    "apiVersion": "serving.sagesched.io/v1alpha1",
    "kind": "LLMServingPool",
    "metadata": {"name": "p", "namespace": "n", "uid": "u"},
    "spec": {
        "model": {"name": "m", "source": {"pvc": {"claimName": "c"}}},
        "runtime": {"image": "i"},
        "gateway": {"tls": {"secretName": "s"}},
    },
}


def known_series() -> set[str]:
    """Of the gateway, by its reference page; of the operator, by its registry."""
    page = (ROOT / "docs" / "reference" / "metrics.md").read_text()
    known = {METRIC, "sagesched_pool_backlog_seconds"}
    for name, kind in re.findall(r"^\| `(sagesched_\w+)` \| (\w+) ", page, re.M):
        known |= {f"{name}_{end}" for end in ("bucket", "sum", "count")} if kind == "histogram" else {name}
    for family in OperatorMetrics().registry.collect():
        endings = {"histogram": ("_bucket", "_sum", "_count"), "counter": ("_total",)}.get(family.type, ("",))
        known |= {family.name + ending for ending in endings}
    return known


def alerts() -> Iterator[dict[str, Any]]:
    """Of the operator and of a pool."""
    chart = yaml.safe_load((CHART / "alerts" / "operator.yaml").read_text())
    for rules in (chart["groups"], prometheus_rule(parse_pool(POOL), Installation())["spec"]["groups"]):
        for group in rules:
            yield from group["rules"]


def queries() -> Iterator[tuple[str, str]]:
    for file in sorted((CHART / "dashboards").glob("*.json")):
        document = json.loads(file.read_text())
        for panel in document["panels"]:
            for target in panel["targets"]:
                yield f"{file.stem}: {panel['title']}", target["expr"]
        for variable in document["templating"]["list"]:
            if variable["type"] == "query":
                yield f"{file.stem}: ${variable['name']}", variable["query"]["query"]
    for alert in alerts():
        yield alert["alert"], alert["expr"]


def promql(query: str) -> promql_parser.Expr:
    return promql_parser.parse(query.replace("$__rate_interval", "5m"))


@pytest.mark.parametrize(("where", "query"), list(queries()), ids=lambda value: value[:40])
def test_every_series_asked_for_exists(where: str, query: str) -> None:
    asked = set(SERIES.findall(query))
    assert asked, f"{where} asks for no series of ours"
    assert asked <= known_series(), f"{where} asks for {sorted(asked - known_series())}"


@pytest.mark.parametrize(("where", "query"), list(queries()), ids=lambda value: value[:40])
def test_every_query_is_promql(where: str, query: str) -> None:
    if not where.split(": ")[-1].startswith("$"):  # Grafana's own functions fill variables
        promql(query)


@pytest.mark.parametrize("file", sorted((CHART / "dashboards").glob("*.json")), ids=lambda file: file.stem)
def test_lines_without_a_pods_name_are_one_of_all_pods(file: Path) -> None:
    """Every replica of the operator tells what it knows of a pool."""
    for panel in json.loads(file.read_text())["panels"]:
        for target in panel["targets"]:
            is_of_all = not isinstance(promql(target["expr"]), promql_parser.VectorSelector)
            assert is_of_all or "{{pod}}" in target["legendFormat"], panel["title"]


@pytest.mark.parametrize("alert", list(alerts()), ids=lambda alert: alert["alert"])
def test_every_alert_links_to_a_runbook_that_exists_and_names_it(alert: dict[str, Any]) -> None:
    url = alert["annotations"]["runbook_url"]
    file = RUNBOOKS / url.rsplit("/", 1)[1]
    assert url.endswith(f"/docs/runbooks/{alert['alert']}.md")
    assert file.read_text().startswith(f"# {alert['alert']}\n")


def test_every_runbook_belongs_to_an_alert() -> None:
    assert {file.stem for file in RUNBOOKS.glob("SageSched*.md")} == {alert["alert"] for alert in alerts()}

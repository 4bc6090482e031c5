"""Alerts in Prometheus' own hands, hour by hour: they fire in their case, and not in ordinary operation."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from cluster.debian import ensure_programs, find
from sagesched_gateway.errors import DeadlineUnreachableError, NeverFitsError, OverloadedError, QueueFullError
from sagesched_operator.api.pool import parse_pool
from sagesched_operator.build.prometheus_rule import prometheus_rule
from sagesched_operator.build.surroundings import Installation

POOL = {
    "apiVersion": "serving.sagesched.io/v1alpha1",
    "kind": "LLMServingPool",
    "metadata": {"name": "p", "namespace": "n", "uid": "u"},
    "spec": {"model": {"name": "m", "source": {"pvc": {"claimName": "c"}}}, "runtime": {"image": "i"}},
}
UP = "sagesched_gateway_triton_metrics_up"

Fires = Callable[[str, dict[str, str], int], bool]


@pytest.fixture
def fires(tmp_path: Path, render: Callable[..., str]) -> Fires:
    """Whether an alert fires after so many minutes of these series, a value a minute."""
    ensure_programs({"promtool": "prometheus"})
    chart = render("--set", "monitoring.prometheusRule.enabled=true")
    rules: list[dict[str, Any]] = [
        *(each for each in yaml.safe_load_all(chart) if each and each["kind"] == "PrometheusRule"),
        dict(prometheus_rule(parse_pool(POOL), Installation())),
    ]
    groups = [group for rule in rules for group in rule["spec"]["groups"]]
    (tmp_path / "rules.yaml").write_text(json.dumps({"groups": groups}))

    def fires(alert: str, series: dict[str, str], minutes: int) -> bool:
        told = [{"series": name, "values": values} for name, values in series.items()]
        expected = {"eval_time": f"{minutes}m", "alertname": alert, "exp_alerts": []}
        test = {"interval": "1m", "input_series": told, "alert_rule_test": [expected]}
        document = {"rule_files": ["rules.yaml"], "evaluation_interval": "1m", "tests": [test]}
        (tmp_path / "test.yaml").write_text(json.dumps(document))
        command = [find("promtool") or "promtool", "test", "rules", str(tmp_path / "test.yaml")]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0 or "got:[" in done.stderr, done.stderr
        return done.returncode != 0

    return fires


def of_pool(series: str, **labels: str) -> str:
    told = ",".join(f'{name}="{value}"' for name, value in labels.items())
    return f'{series}{{namespace="n",pool="p",{told}}}'


def test_pods_that_load_their_models_are_no_alert(fires: Fires) -> None:
    """One after the other, as in an update of a pool whose engine takes half an hour to load."""
    series = {
        of_pool(UP, pod="first"): "0x30 1x100",
        of_pool(UP, pod="second"): "_x30 0x30 1x60",
        of_pool(UP, pod="other"): "1x130",
    }
    assert not [minutes for minutes in range(0, 120, 10) if fires("SageSchedTritonAway", series, minutes)]


def test_a_triton_that_went_away_is_alerted_about_until_it_is_back(fires: Fires) -> None:
    series = {of_pool(UP, pod="one"): "0x10 1x20 0x200 1x20", of_pool(UP, pod="other"): "1x260"}
    assert not fires("SageSchedTritonAway", series, 30)
    assert all(fires("SageSchedTritonAway", series, minutes) for minutes in (38, 90, 95, 100, 220))
    assert not fires("SageSchedTritonAway", series, 240)


def test_a_triton_that_never_comes_is_alerted_about(fires: Fires) -> None:
    series = {of_pool(UP, pod="one"): "0x120"}
    assert not fires("SageSchedTritonAway", series, 55)
    assert fires("SageSchedTritonAway", series, 70)


def test_pods_that_load_do_not_hide_what_waits_for_the_others(fires: Fires) -> None:
    backlog = "sagesched_gateway_backlog_seconds"
    series = {of_pool(backlog, pod="one"): "25x60", of_pool(UP, pod="one"): "1x60"}
    for pod in ("two", "three"):
        series |= {of_pool(backlog, pod=pod): "0x60", of_pool(UP, pod=pod): "0x40 1x20"}
    assert fires("SageSchedBacklogAboveTarget", series, 30)
    assert not fires("SageSchedBacklogAboveTarget", series, 50)


@pytest.mark.parametrize("error", [OverloadedError, DeadlineUnreachableError, NeverFitsError])
def test_refusals_by_what_is_predicted_are_refusals(fires: Fires, error: type[Exception]) -> None:
    word = error.word  # type: ignore[attr-defined]
    series = {
        of_pool("sagesched_gateway_requests_finished_total", outcome=word): "0+60x30",
        of_pool("sagesched_gateway_requests_finished_total", outcome="completed"): "0+60x30",
    }
    assert fires("SageSchedRequestsRefused", series, 20)


def test_refusals_at_the_door_are_refusals_and_ends_are_not(fires: Fires) -> None:
    name = of_pool("sagesched_gateway_requests_refused_total", reason=QueueFullError.word)
    assert fires("SageSchedRequestsRefused", {name: "0+60x30"}, 20)
    name = of_pool("sagesched_gateway_requests_finished_total", outcome="cancelled")
    assert not fires("SageSchedRequestsRefused", {name: "0+60x30"}, 20)


@pytest.mark.parametrize(
    ("alert", "series"),
    [
        ("SageSchedOperatorDown", {}),
        ("SageSchedOperatorWithoutLeader", {("leader", ""): "0x60"}),
        (
            "SageSchedGatewaysUnreachable",
            {
                ("gateway_reports_total", ',outcome="read"'): "0x60",
                ("gateway_reports_total", ',outcome="unreachable"'): "0+9x60",
            },
        ),
    ],
)
def test_another_release_hides_no_trouble(
    fires: Fires, alert: str, series: dict[tuple[str, str], str]
) -> None:
    """Releases with `watchNamespaces` of their own stand side by side."""

    def of(namespace: str, told: dict[tuple[str, str], str]) -> dict[str, str]:
        return {
            f'sagesched_operator_{name}{{namespace="{namespace}"{labels}}}': values
            for (name, labels), values in told.items()
        }

    well = {("leader", ""): "1x60", ("gateway_reports_total", ',outcome="read"'): "0+99x60"}
    assert fires(alert, of("sagesched-system", series) | of("other", well), 40)
    assert not fires(alert, of("other", series) | of("sagesched-system", well), 40)

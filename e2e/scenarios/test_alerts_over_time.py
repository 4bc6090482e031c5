"""Alerts in Prometheus' own hands, hour by hour: they fire in their case, and not in ordinary operation."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from bed.installation import NAMESPACE, RELEASE, ROOT, helm
from bed.record import Record
from cluster.debian import ensure_programs, find
from cluster.kubectl import Cluster
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


@pytest.mark.level(2)
@pytest.mark.timeout(300)
def test_alerts_over_time(cluster: Cluster, record: Record, tmp_path: Path) -> None:
    ensure_programs({"promtool": "prometheus"})
    (tmp_path / "rules.yaml").write_text(json.dumps({"groups": _groups(cluster)}))

    def fires(alert: str, series: dict[str, str], minutes: int) -> bool:
        """Whether an alert fires after so many minutes of these series, a value a minute."""
        told = [{"series": name, "values": values} for name, values in series.items()]
        expected = {"eval_time": f"{minutes}m", "alertname": alert, "exp_alerts": []}
        test = {"interval": "1m", "input_series": told, "alert_rule_test": [expected]}
        document = {"rule_files": ["rules.yaml"], "evaluation_interval": "1m", "tests": [test]}
        (tmp_path / "test.yaml").write_text(json.dumps(document))
        command = [find("promtool") or "promtool", "test", "rules", str(tmp_path / "test.yaml")]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0 or "got:[" in done.stderr, done.stderr
        return done.returncode != 0

    cases = (
        _pods_that_load_their_models_are_no_alert,
        _a_triton_that_went_away_is_alerted_about_until_it_is_back,
        _a_triton_that_never_comes_is_alerted_about,
        _pods_that_load_do_not_hide_what_waits_for_the_others,
        _refusals_by_what_is_predicted_are_refusals,
        _refusals_at_the_door_are_refusals_and_ends_are_not,
        _another_release_hides_no_trouble,
    )
    for case in cases:
        case(fires)
        record.proved(case.__name__.strip("_").replace("_", " "))


def _groups(cluster: Cluster) -> list[dict[str, Any]]:
    """The chart's rules and a pool's."""
    chart = helm(
        cluster,
        "template",
        RELEASE,
        str(ROOT / "charts" / "sagesched"),
        "-n",
        NAMESPACE,
        "--set",
        "monitoring.prometheusRule.enabled=true",
    )
    rules: list[dict[str, Any]] = [
        *(each for each in yaml.safe_load_all(chart) if each and each["kind"] == "PrometheusRule"),
        dict(prometheus_rule(parse_pool(POOL), Installation())),
    ]
    return [group for rule in rules for group in rule["spec"]["groups"]]


def of_pool(series: str, **labels: str) -> str:
    told = ",".join(f'{name}="{value}"' for name, value in labels.items())
    return f'{series}{{namespace="n",pool="p",{told}}}'


def _pods_that_load_their_models_are_no_alert(fires: Fires) -> None:
    """One after the other, as in an update of a pool whose engine takes half an hour to load."""
    series = {
        of_pool(UP, pod="first"): "0x30 1x100",
        of_pool(UP, pod="second"): "_x30 0x30 1x60",
        of_pool(UP, pod="other"): "1x130",
    }
    assert not [minutes for minutes in range(0, 120, 10) if fires("SageSchedTritonAway", series, minutes)]


def _a_triton_that_went_away_is_alerted_about_until_it_is_back(fires: Fires) -> None:
    series = {of_pool(UP, pod="one"): "0x10 1x20 0x200 1x20", of_pool(UP, pod="other"): "1x260"}
    assert not fires("SageSchedTritonAway", series, 30)
    assert all(fires("SageSchedTritonAway", series, minutes) for minutes in (38, 90, 95, 100, 220))
    assert not fires("SageSchedTritonAway", series, 240)


def _a_triton_that_never_comes_is_alerted_about(fires: Fires) -> None:
    series = {of_pool(UP, pod="one"): "0x120"}
    assert not fires("SageSchedTritonAway", series, 55)
    assert fires("SageSchedTritonAway", series, 70)


def _pods_that_load_do_not_hide_what_waits_for_the_others(fires: Fires) -> None:
    backlog = "sagesched_gateway_backlog_seconds"
    series = {of_pool(backlog, pod="one"): "25x60", of_pool(UP, pod="one"): "1x60"}
    for pod in ("two", "three"):
        series |= {of_pool(backlog, pod=pod): "0x60", of_pool(UP, pod=pod): "0x40 1x20"}
    assert fires("SageSchedBacklogAboveTarget", series, 30)
    assert not fires("SageSchedBacklogAboveTarget", series, 50)


def _refusals_by_what_is_predicted_are_refusals(fires: Fires) -> None:
    for error in (OverloadedError, DeadlineUnreachableError, NeverFitsError):
        series = {
            of_pool("sagesched_gateway_requests_finished_total", outcome=error.word): "0+60x30",
            of_pool("sagesched_gateway_requests_finished_total", outcome="completed"): "0+60x30",
        }
        assert fires("SageSchedRequestsRefused", series, 20)


def _refusals_at_the_door_are_refusals_and_ends_are_not(fires: Fires) -> None:
    name = of_pool("sagesched_gateway_requests_refused_total", reason=QueueFullError.word)
    assert fires("SageSchedRequestsRefused", {name: "0+60x30"}, 20)
    name = of_pool("sagesched_gateway_requests_finished_total", outcome="cancelled")
    assert not fires("SageSchedRequestsRefused", {name: "0+60x30"}, 20)


def _another_release_hides_no_trouble(fires: Fires) -> None:
    """Releases with `watchNamespaces` of their own stand side by side."""

    def of(namespace: str, told: dict[tuple[str, str], str]) -> dict[str, str]:
        return {
            f'sagesched_operator_{name}{{namespace="{namespace}"{labels}}}': values
            for (name, labels), values in told.items()
        }

    read, unreachable = (
        ("gateway_reports_total", f',outcome="{outcome}"') for outcome in ("read", "unreachable")
    )
    well = {("leader", ""): "1x60", read: "0+99x60"}
    troubles: dict[str, dict[tuple[str, str], str]] = {
        "SageSchedOperatorDown": {},
        "SageSchedOperatorWithoutLeader": {("leader", ""): "0x60"},
        "SageSchedGatewaysUnreachable": {read: "0x60", unreachable: "0+9x60"},
    }
    for alert, series in troubles.items():
        assert fires(alert, of(NAMESPACE, series) | of("other", well), 40)
        assert not fires(alert, of("other", series) | of(NAMESPACE, well), 40)

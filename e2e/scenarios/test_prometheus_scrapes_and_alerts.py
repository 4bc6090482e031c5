"""A real Prometheus reads operator, gateways and Triton: every alert fires, every panel has data."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
import yaml

from bed import container_process, troubles
from bed.installation import NAMESPACE, RELEASE, ROOT, helm, scale
from bed.load import Load
from bed.monitored import monitored
from bed.pool import KIND, LITTLE, MakePool, Pool, emulated
from bed.prometheus import Prometheus
from bed.record import Record
from bed.traffic import Traffic
from cluster.errors import ClusterError

_MONITORING = "monitoring.serviceMonitor.enabled=true,monitoring.prometheusRule.enabled=true"
_QUEUE = 8
_GATEWAY = {
    "inFlight": 2,
    "queue": {"requests": _QUEUE},
    "resources": LITTLE,
    "connectionAgeSeconds": 5,
}
_SECRET = "short-lived"
_TLS = {"gateway": {"tls": {"secretName": _SECRET}}}
_FIRES_S, _OVER_S = 90, 90
_UNTIL_READ_S = 4.0
"""A counter's first value says nothing of its rate: it must have been read before it rises."""


class _Watch:
    """Which alerts have fired and which queries have had data so far."""

    def __init__(self, pool: Pool, prometheus: Prometheus, fired: set[str]) -> None:
        self.pool = pool
        self.prometheus = prometheus
        self.fired = fired
        self.without_data = dict(_queries(pool))

    def fires(self, alert: str, meanwhile: Callable[[], object] = lambda: None) -> None:
        name = f"SageSched{alert}"

        def is_firing() -> bool:
            meanwhile()
            return name in self.prometheus.firing()

        self.prometheus.wait(is_firing, f"firing {name}", _FIRES_S)
        self.fired.add(name)

    def is_over(self, alert: str) -> None:
        name = f"SageSched{alert}"
        self.prometheus.wait(lambda: name not in self.prometheus.firing(), f"calm: {name}", _OVER_S)

    def look_at_dashboards(self) -> dict[tuple[str, str], str]:
        """Those of the queries that still have shown nothing."""
        self.without_data = {
            of: query for of, query in self.without_data.items() if not self.prometheus.query(query)
        }
        return self.without_data


@pytest.mark.own_node
@pytest.mark.level(2)
@pytest.mark.timeout(900)
def test_prometheus_scrapes_and_alerts(make_pool: MakePool, record: Record) -> None:
    spec = emulated(gateway=_GATEWAY, scaling={"targetBacklogSeconds": 1})
    with make_pool(spec) as pool:
        documents, fired = _documents(pool), set[str]()
        # One that has seen nothing else: the alert is about a share of ten minutes.
        with troubles.out_of_the_operators_reach(pool), monitored(pool.cluster, documents) as prometheus:
            _Watch(pool, prometheus, fired).fires("GatewaysUnreachable")
        with monitored(pool.cluster, documents) as prometheus:
            watch = _Watch(pool, prometheus, fired)
            _is_read(watch, record)
            for act in (_load, _refusals, _triton, _writes, _leader, _operator, _certificate):
                act(watch, record)
            num_queries, empty = len(dict(_queries(pool))), watch.look_at_dashboards()
    rules = [each for each in documents if each["kind"] == "PrometheusRule"]
    alerts = {rule["alert"] for each in rules for group in each["spec"]["groups"] for rule in group["rules"]}
    record.proved(f"{len(fired)} of {len(alerts)} alerts fired, `for` left out of each")
    record.proved(f"{num_queries - len(empty)} of {num_queries} dashboard queries had data")
    assert fired == alerts
    assert empty == {}


def _is_read(watch: _Watch, record: Record) -> None:
    def all_up() -> bool:
        health = watch.prometheus.health()
        return len(health) == 3 and set(health.values()) == {"up"}

    took = watch.prometheus.wait(all_up, "reading two operators and a gateway", 60)
    watch.prometheus.wait(lambda: bool(watch.prometheus.query("nv_inference_count")), "reading Triton", 30)
    record.proved(f"two operators, a gateway and, through it, Triton are read after {took:.1f} s")


def _load(watch: _Watch, record: Record) -> None:
    pool = watch.pool
    with Traffic(pool.cluster, Load(target=pool.address(), tokens=(200, 300), name="load")) as traffic:
        watch.fires("BacklogAboveTarget")
        [pod] = pool.ready_pods()
        watch.fires("PredictorDown", meanwhile=lambda: _end_predictor(pod))
        watch.is_over("PredictorDown")
        time.sleep(15.0)  # for rates over half a minute, and the operator's look at the backlog
        watch.look_at_dashboards()
        account = traffic.end()
    record.answered(account, "backlog, predictor killed")
    assert account.problems == []
    assert account.errors == {}
    watch.is_over("BacklogAboveTarget")


def _end_predictor(pod: Mapping[str, Any]) -> None:
    with contextlib.suppress(ClusterError):  # it may be away still
        container_process.send(pod, "gateway", signal.SIGKILL, "sagesched_predictor.worker")


def _refusals(watch: _Watch, record: Record) -> None:
    pool = watch.pool
    load = Load(target=pool.address(), tokens=(100, 200), streams=4, name="refused")
    with Traffic(pool.cluster, load) as traffic:
        watch.fires("RequestsRefused")
        watch.look_at_dashboards()
        account = traffic.end()
    record.answered(account, "more than the queue holds")
    assert account.problems == []
    assert list(account.errors) == [f"{_QUEUE} requests wait, which is the limit"]


def _triton(watch: _Watch, record: Record) -> None:
    [pod] = watch.pool.ready_pods()
    container_process.send(pod, "triton", signal.SIGSTOP, "tritonserver")
    try:
        watch.fires("TritonAway")
    finally:
        container_process.send(pod, "triton", signal.SIGCONT, "tritonserver")
    watch.is_over("TritonAway")
    record.proved("Triton stopped and went on: the alert came and went")


def _writes(watch: _Watch, record: Record) -> None:
    first = watch.pool
    pools = [Pool(first.cluster, f"idle-{number}", first.namespace) for number in range(5)]
    with troubles.webhook_away(first):
        for pool in pools[:3]:
            pool.apply(emulated(0))
        watch.fires("ReconcileErrors")
        watch.look_at_dashboards()
    for pool in pools[:3]:
        pool.wait(lambda pool=pool: _has_service(pool), "made once the webhook is gone", 90)  # type: ignore[misc]
    troubles.fight(pools[:3], rounds=5, pause_s=_UNTIL_READ_S)
    watch.fires("DriftFight")
    watch.look_at_dashboards()
    quota = {"kind": "ResourceQuota", "apiVersion": "v1", "metadata": {"name": "no-more"}}
    hard = {"spec": {"hard": {"services": "1"}}}
    first.cluster.kubectl("-n", first.namespace, "apply", "-f", "-", stdin=json.dumps(quota | hard))
    for pool in pools[3:]:
        pool.apply(emulated(0))
        pool.wait(lambda pool=pool: pool.condition("Stalled").get("status") == "True", "refused", 30)  # type: ignore[misc]
        time.sleep(_UNTIL_READ_S)
    watch.fires("ApiRequestsRefused")
    first.kubectl("delete", "resourcequota", "no-more")
    record.proved("webhook away, objects fought over, quota exceeded: each was alerted")


def _leader(watch: _Watch, record: Record) -> None:
    cluster = watch.pool.cluster
    [pod] = [
        each for each in troubles.operators(cluster) if each["metadata"]["name"] == troubles.leader(cluster)
    ]
    container_process.send(pod, "operator", signal.SIGSTOP)
    try:
        watch.fires("OperatorWithoutLeader")
        watch.is_over("OperatorWithoutLeader")
    finally:
        container_process.send(pod, "operator", signal.SIGCONT)
    record.proved("leader frozen: alerted until the other led")


def _operator(watch: _Watch, record: Record) -> None:
    pool = watch.pool
    before = scale(pool.cluster, 0)
    try:
        watch.fires("OperatorDown")
        troubles.break_settings(pool)
        watch.fires("SettingsRefused")
    finally:
        scale(pool.cluster, before)
    watch.is_over("OperatorDown")
    pool.wait(lambda: not troubles.has_broken_settings(pool), "repaired", 60)
    troubles.have_volumes_looked_at(pool)
    watch.is_over("SettingsRefused")
    record.proved("operator away and settings broken meanwhile: it put them right")


def _certificate(watch: _Watch, record: Record) -> None:
    troubles.certificate_for_a_day(watch.pool, _SECRET)
    watch.pool.patch(_TLS)
    watch.fires("CertificateExpires")
    record.proved("a certificate for a day: alerted")


def _has_service(pool: Pool) -> bool:
    return pool.cluster.run("kubectl", "-n", pool.namespace, "get", "service", pool.name).returncode == 0


def _queries(pool: Pool) -> Iterator[tuple[tuple[str, str], str]]:
    """(Panel, expression) → the expression with Grafana's variables filled in."""
    values = {"$namespace": pool.namespace, "$pool": pool.name, "$__rate_interval": "30s"}
    for file in sorted((ROOT / "charts/sagesched/dashboards").glob("*.json")):
        for panel in json.loads(file.read_text())["panels"]:
            for target in panel.get("targets", ()):
                expression = filled = target["expr"]
                for name, value in values.items():
                    filled = filled.replace(name, value)
                yield (panel["title"], expression), filled


def _documents(pool: Pool) -> list[dict[str, Any]]:
    """What chart and operator give Prometheus' operator, whose kinds are not in this cluster; with TLS."""
    chart = helm(
        *(pool.cluster, "template", RELEASE, str(ROOT / "charts/sagesched"), "-n", NAMESPACE),
        *("--set", _MONITORING),
    )
    document = pool.get(KIND, pool.name)
    document["spec"]["gateway"] |= _TLS["gateway"]
    command = [sys.executable, "-m", "sagesched_operator.cli", "render", "-f", "-"]
    rendered = subprocess.run(
        command, input=json.dumps(document), capture_output=True, text=True, check=True
    ).stdout
    return [each for text in (chart, rendered) for each in yaml.safe_load_all(text) if each]

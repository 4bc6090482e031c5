"""The operator's own series, `sagesched_operator_*`, and the figures of pools that scalers read."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from sagesched_operator.build.scaler import METRIC
from sagesched_operator.cluster.cache import PoolKey
from sagesched_operator.control.signal import Signal

_POOL_LABELS = ["pool_namespace", "pool"]


class OperatorMetrics:
    """What the operator counts.

    Attributes:
        registry: to be served.
    """

    def __init__(self) -> None:
        # `*_created` would double the number of series and says nothing that a scraper does not know.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "sagesched_operator_api_requests",
            "Requests to the API server, by verb, kind and status (0: no answer).",
            ["verb", "kind", "code"],
            registry=self.registry,
        )
        self._reconciles = Counter(
            "sagesched_operator_reconciles",
            "Pools looked at, by how it ended: unchanged, changed, retry or error.",
            ["result"],
            registry=self.registry,
        )
        self._seconds = Histogram(
            "sagesched_operator_reconcile_seconds",
            "Time to look at one pool and act.",
            buckets=(0.001, 0.005, 0.02, 0.1, 0.5, 2.0, 10.0),
            registry=self.registry,
        )
        self._repairs = Counter(
            "sagesched_operator_drift_repairs",
            "Children put right after somebody else had changed or removed them.",
            ["kind"],
            registry=self.registry,
        )
        self._reports = Counter(
            "sagesched_operator_gateway_reports",
            "Gateways asked for their status, by outcome: read, unreachable or unreadable.",
            ["outcome"],
            registry=self.registry,
        )
        self.leads = Gauge("sagesched_operator_leader", "1 while this replica acts.", registry=self.registry)
        self.queue = Gauge(
            "sagesched_operator_queue_depth", "Pools that wait to be looked at.", registry=self.registry
        )
        self.pools = Gauge("sagesched_operator_pools", "Pools there are.", registry=self.registry)

    def request(self, verb: str, kind: str, code: int) -> None:
        """A request to the API server was answered (code 0: was not)."""
        self._requests.labels(verb, kind if "/" not in kind else "path", str(code)).inc()

    def reconciled(self, result: str, seconds: float) -> None:
        """A pool was looked at."""
        self._reconciles.labels(result).inc()
        self._seconds.observe(seconds)

    def repaired(self, kind: str) -> None:
        """A child had drifted."""
        self._repairs.labels(kind).inc()

    def reported(self, outcome: str) -> None:
        """A gateway was asked."""
        self._reports.labels(outcome).inc()

    def serve_signals(self, signals: Callable[[], Iterable[tuple[PoolKey, Signal]]]) -> None:
        """Have the pools' signals in the registry; one that is not known has no series, never a 0."""
        self.registry.register(_SignalCollector(signals))


class _SignalCollector(Collector):
    def __init__(self, signals: Callable[[], Iterable[tuple[PoolKey, Signal]]]) -> None:
        self._signals = signals

    def collect(self) -> Iterable[Metric]:
        wanted = GaugeMetricFamily(METRIC, "Pods that a pool wants, a fraction.", labels=_POOL_LABELS)
        backlog = GaugeMetricFamily(
            "sagesched_pool_backlog_seconds", "Predicted seconds of waiting work.", labels=_POOL_LABELS
        )
        for key, signal in self._signals():
            wanted.add_metric(list(key), signal.wanted)
            backlog.add_metric(list(key), signal.backlog_s)
        yield wanted
        yield backlog

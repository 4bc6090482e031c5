"""Every series the gateway exports: name, meaning, unit; `sagesched_gateway_*` and `sagesched_predictor_*`.

Durations are seconds, sizes are tokens or KV blocks. Labels take few values: models are those that a
profile was found for (at most `MAX_MODELS`), outcomes, sources and reasons are known words; anything else
counts as `other`. Totals and distributions are told by dispatch as things happen; what is a state (queue,
capacity, predictor) is read from its snapshot at each scrape, so that the two cannot drift apart.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import Protocol

from prometheus_client import CollectorRegistry, Counter, Histogram, disable_created_metrics
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from sagesched_gateway.dispatch.ports import DispatchSnapshot, PredictorState
from sagesched_gateway.errors import GatewayError
from sagesched_gateway.settings.live import LiveSettings

MAX_MODELS = 32
OTHER = "other"

LATENCY_BUCKETS_S = (
    *(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5),
    *(1.0, 2.5, 5.0, 10.0, 25.0, 60.0, 120.0, 300.0, 600.0),
)
PREDICTION_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
TOKEN_BUCKETS = tuple(float(2**power) for power in range(16))

PREDICTION_SOURCES = frozenset({"prior", "head", "history", "pool", "none"})
PREDICTION_FAILURES = frozenset({"timeout", "error", "down", "overload"})


class GatewayMetrics:
    """Totals and distributions; dispatch's `Telemetry`.

    Attributes:
        registry: holds the series; `SnapshotCollector` adds the states to it.
    """

    def __init__(self) -> None:
        # `*_created` would double the number of series and says nothing that a scraper does not know.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        self._models: set[str] = set()
        self._outcomes = {"completed", "cancelled"} | {cls.word for cls in _all_errors()}
        self._received = self._counter(
            "sagesched_gateway_requests_received",
            "Generation requests that came in and were taken, by model.",
            "model",
        )
        self._refused = self._counter(
            "sagesched_gateway_requests_refused",
            "Generation requests refused at the door, by the word of their error; not among those received. "
            "What is no request of its protocol (JSON, headers, fields) is told to its caller alone.",
            "reason",
        )
        self._ignored = self._counter(
            "sagesched_gateway_attributes_ignored",
            "Requests, or gRPC calls of many, whose tenant, priority or deadline was not believed: they came "
            "from outside the trusted networks.",
        )
        self._responses = self._counter(
            "sagesched_gateway_responses",
            "Responses handed to callers, one per message of a stream; counted when their request ends.",
        )
        self._finished = self._counter(
            "sagesched_gateway_requests_finished",
            "Generation requests that ended: completed, cancelled, or the word of their error.",
            "outcome",
        )
        self._queue = self._histogram(
            "sagesched_gateway_queue_seconds",
            "Time a request waited in the gateway before it was sent to the engine.",
        )
        self._ttft = self._histogram(
            "sagesched_gateway_time_to_first_token_seconds",
            "Time from a request's arrival to its first token.",
        )
        self._ttlt = self._histogram(
            "sagesched_gateway_time_to_last_token_seconds",
            "Time from a request's arrival to its last token; completed requests only.",
        )
        self._output_tokens = self._histogram(
            "sagesched_gateway_output_tokens",
            "Output tokens of a request, however it ended; the sum is all tokens generated.",
            TOKEN_BUCKETS,
        )
        self._rekeys = self._counter(
            "sagesched_gateway_rekeys",
            "Times all waiting requests were given new keys because the tail rate, the policy or what they "
            "cost on this engine changed.",
        )
        self._reloads = self._counter(
            "sagesched_gateway_config_reloads",
            "Times the settings file was read again: applied, unchanged or refused.",
            "result",
        )
        self._records = self._counter(
            "sagesched_gateway_recorder_records",
            "Ended requests by what the recorder did with them: written, dropped (its queue was full) or "
            "failed (the file could not be written; the log has the reason).",
            "result",
        )
        self._predictions = self._counter(
            "sagesched_predictor_predictions",
            "Predictions made, by what counts most in them: prior, head, history, pool or none.",
            "source",
        )
        self._prediction_failures = self._counter(
            "sagesched_predictor_failures",
            "Predictions that did not come: timeout, error, overload (too many asked for at once) or down "
            "(no predictor running).",
            "reason",
        )
        self._prediction_time = self._histogram(
            "sagesched_predictor_seconds",
            "Time from a question to the predictor to its answer.",
            PREDICTION_BUCKETS_S,
        )

    def request_received(self, model: str) -> None:
        """See `Telemetry.request_received`."""
        if len(self._models) < MAX_MODELS:
            self._models.add(model)
        self._received.labels(_known(model, self._models)).inc()

    def request_refused(self, word: str) -> None:
        """See `Telemetry.request_refused`."""
        self._refused.labels(_known(word, self._outcomes)).inc()

    def attributes_ignored(self) -> None:
        """Somebody who is not trusted told a tenant, a priority or a deadline."""
        self._ignored.inc()

    def responses_sent(self, responses: int) -> None:
        """See `Telemetry.responses_sent`."""
        self._responses.inc(responses)

    def request_started(self, queue_s: float) -> None:
        """See `Telemetry.request_started`."""
        self._queue.observe(queue_s)

    def first_token(self, ttft_s: float) -> None:
        """See `Telemetry.first_token`."""
        self._ttft.observe(ttft_s)

    def request_finished(self, outcome: str, ttlt_s: float, output_tokens: int) -> None:
        """See `Telemetry.request_finished`."""
        self._finished.labels(_known(outcome, self._outcomes)).inc()
        self._output_tokens.observe(output_tokens)
        if outcome == "completed":
            self._ttlt.observe(ttlt_s)

    def prediction_done(self, source: str, seconds: float) -> None:
        """See `Telemetry.prediction_done`."""
        self._predictions.labels(_known(source, PREDICTION_SOURCES)).inc()
        self._prediction_time.observe(seconds)

    def prediction_failed(self, reason: str) -> None:
        """See `Telemetry.prediction_failed`."""
        self._prediction_failures.labels(_known(reason, PREDICTION_FAILURES)).inc()

    def rekeyed(self) -> None:
        """See `Telemetry.rekeyed`."""
        self._rekeys.inc()

    def config_read(self, result: str) -> None:
        """The settings file was read again: `applied`, `unchanged` or `refused`."""
        self._reloads.labels(result).inc()

    def recorded(self, result: str, records: int) -> None:
        """The recorder has `written`, `dropped` or `failed` to write so many records; from any thread."""
        self._records.labels(result).inc(records)

    def _counter(self, name: str, meaning: str, *labels: str) -> Counter:
        return Counter(name, meaning, labels, registry=self.registry)

    def _histogram(
        self, name: str, meaning: str, buckets: tuple[float, ...] = LATENCY_BUCKETS_S
    ) -> Histogram:
        return Histogram(name, meaning, buckets=buckets, registry=self.registry)


class CertificateState(Protocol):
    """What is told of certificates."""

    @property
    def problem(self) -> str:
        """Why the files as they are now are refused; empty where they are not."""

    @property
    def expires_at(self) -> float:
        """When the certificate in effect expires, seconds since the epoch."""


class SnapshotCollector(Collector):
    """States, read from dispatch at each scrape.

    Attributes:
        triton_is_up: whether Triton's own metrics could be read for this scrape; set by who serves them.
    """

    def __init__(
        self,
        snapshot: Callable[[], DispatchSnapshot],
        settings: LiveSettings,
        *,
        version: str,
        certificates: CertificateState | None = None,
    ) -> None:
        self._certificates = certificates
        self._snapshot = snapshot
        self._settings = settings
        self._version = version
        self.triton_is_up = False

    def collect(self) -> Iterable[Metric]:
        """One snapshot, all its gauges."""
        state = self._snapshot()
        yield from self._queue(state)
        yield from _engine(state)
        yield from _predictor(state.predictor)
        yield from _trust(state)
        yield from _config(self._settings)
        yield from _tls(self._certificates)
        yield _gauge(
            "sagesched_gateway_triton_metrics_up",
            "1 where Triton's own metrics could be read and are part of this text.",
            self.triton_is_up,
        )
        yield InfoMetricFamily(
            "sagesched_gateway_build",
            "Version of the gateway and SHA-256 of the settings in effect.",
            {"version": self._version, "config_digest": self._settings.digest},
        )

    def _queue(self, state: DispatchSnapshot) -> Iterable[Metric]:
        yield _gauge("sagesched_gateway_queued_requests", "Requests waiting in the gateway.", state.queued)
        yield _gauge(
            "sagesched_gateway_queued_bytes",
            "Messages of the requests waiting in the gateway, together.",
            state.queued_bytes,
        )
        yield _gauge(
            "sagesched_gateway_in_flight_requests",
            "Requests sent to the engine and not ended by it.",
            state.in_flight,
        )
        yield _gauge(
            "sagesched_gateway_backlog_seconds",
            "Predicted engine time of everything waiting in the gateway.",
            state.backlog_s,
        )
        yield _gauge(
            "sagesched_gateway_time_to_start_all_seconds",
            "Predicted time until all that waits has started, as the queue is seen to shorten.",
            state.time_to_start_all_s,
        )
        yield CounterMetricFamily(
            "sagesched_gateway_evictions",
            "Requests that the policy amin took back from the engine and began anew.",
            value=state.evictions,
        )
        yield CounterMetricFamily(
            "sagesched_gateway_discarded_tokens",
            "Output tokens that requests taken back had generated in vain.",
            value=state.discarded_tokens,
        )
        yield from self._tenants(state)
        if state.gamma is not None:
            yield _gauge(
                "sagesched_gateway_tail_rate",
                "Tail rate (gamma) of the policy in effect, per second.",
                state.gamma,
            )
        yield _gauge("sagesched_gateway_draining", "1 while new requests are refused.", state.draining)
        yield InfoMetricFamily(
            "sagesched_gateway_policy", "Scheduling policy in effect.", {"policy": state.policy}
        )
        yield CounterMetricFamily(
            "sagesched_gateway_requests_retried",
            "Requests sent to the engine once more because it refused them before their first token.",
            value=state.counters.get("retried", 0),
        )

    def _tenants(self, state: DispatchSnapshot) -> Iterable[Metric]:
        """By the names in the settings: callers choose names, and must not choose series."""
        if not self._settings.config.tenants.enabled:
            return
        waiting = dict.fromkeys([name for name, _ in self._settings.config.tenants.weights], 0.0)
        waiting[OTHER] = 0.0
        for tenant in state.tenants:
            waiting[_known(tenant.name, waiting)] += tenant.backlog_s
        family = GaugeMetricFamily(
            "sagesched_gateway_tenant_backlog_seconds",
            "Predicted engine time of what waits, by tenants with a weight in the settings.",
            labels=["tenant"],
        )
        for name, backlog_s in waiting.items():
            family.add_metric([name], backlog_s)
        yield family


def _config(settings: LiveSettings) -> Iterable[Metric]:
    yield _gauge(
        "sagesched_gateway_config_valid",
        "1 where the settings file as it is now is accepted; /status has the reason where it is not.",
        not settings.problem,
    )
    yield _gauge(
        "sagesched_gateway_config_settings_waiting",
        "Settings that differ in the file and wait for a restart; /status names them.",
        len(settings.waiting),
    )
    yield _gauge(
        "sagesched_gateway_queued_requests_limit",
        "Requests that may wait in the gateway; beyond that they are refused.",
        settings.limits.queued_requests,
    )
    yield _gauge(
        "sagesched_gateway_queued_bytes_limit",
        "Bytes of messages that may wait in the gateway; beyond that they are refused.",
        settings.limits.queued_bytes,
    )


def _tls(certificates: CertificateState | None) -> Iterable[Metric]:
    if certificates is None:
        return
    yield _gauge(
        "sagesched_gateway_tls_files_valid",
        "1 where the certificates' files as they are now are accepted; only with TLS.",
        not certificates.problem,
    )
    yield _gauge(
        "sagesched_gateway_tls_certificate_expires_timestamp_seconds",
        "When the certificate in effect expires, seconds since the epoch; only with TLS.",
        certificates.expires_at,
    )


def _engine(state: DispatchSnapshot) -> Iterable[Metric]:
    yield _gauge("sagesched_gateway_engine_slots", "Places in the engine's running batch.", state.slots)
    if state.kv_blocks is not None:
        yield _gauge("sagesched_gateway_engine_kv_blocks", "The engine's KV pool in blocks.", state.kv_blocks)
    yield _gauge(
        "sagesched_gateway_engine_kv_blocks_reserved",
        "KV blocks that the gateway counts for requests in flight.",
        state.kv_blocks_reserved,
    )
    if state.kv_blocks_usable is not None:
        yield _gauge(
            "sagesched_gateway_engine_kv_blocks_usable",
            "KV blocks that requests may fill: learned from measured waits where the engine does not tell, "
            "or where it tells too much.",
            state.kv_blocks_usable,
        )
    yield _gauge(
        "sagesched_gateway_engine_foreign_requests",
        "Requests inside the engine that did not come through this gateway.",
        state.strangers,
    )
    yield _gauge(
        "sagesched_gateway_engine_metrics_stale",
        "1 while the engine's metrics stand still although it works.",
        state.metrics_stale,
    )
    yield CounterMetricFamily(
        "sagesched_gateway_engine_waits",
        "Requests that had to wait inside the engine, judged by their first token.",
        value=state.engine_waits,
    )
    yield _gauge(
        "sagesched_gateway_engine_iteration_seconds",
        "Duration of one engine iteration as now measured.",
        state.iteration_s,
    )


def _predictor(state: PredictorState) -> Iterable[Metric]:
    yield _gauge("sagesched_predictor_ready", "1 while predictions can be had.", state.state == "ready")
    yield _gauge(
        "sagesched_predictor_fallback",
        "1 while another execution provider than the asked one is in use; /status has the reason.",
        state.fallback is not None,
    )
    yield _gauge(
        "sagesched_predictor_history_records", "Past requests the predictor remembers.", state.history
    )
    yield CounterMetricFamily(
        "sagesched_predictor_restarts",
        "Times the predictor's process was started again.",
        value=state.restarts,
    )
    yield InfoMetricFamily(
        "sagesched_predictor",
        "Mode of the predictor and ONNX Runtime's execution provider.",
        {"mode": state.mode, "provider": state.provider or ""},
    )


def _trust(state: DispatchSnapshot) -> Iterable[Metric]:
    trust = state.trust
    yield _gauge(
        "sagesched_predictor_calibrated",
        "1 while predicted intervals hold what they promise, or too few answers have ended to tell.",
        trust.calibrated,
    )
    yield _gauge(
        "sagesched_predictor_useful", "1 while the predicted order is worth following.", trust.useful
    )
    yield _gauge(
        "sagesched_predictor_rescale",
        "What predicted lengths are multiplied by; 1 where they are used as they come.",
        trust.rescale.factor,
    )
    coverage = GaugeMetricFamily(
        "sagesched_predictor_coverage_ratio",
        "Share of recent answers inside the predicted interval of that many percent, as used; running ones "
        "count as at least so long as they are.",
        labels=["interval"],
    )
    for interval, share in trust.coverage.items():
        coverage.add_metric([f"{100 * interval:.0f}"], share)
    yield coverage
    if trust.concordance is not None:
        yield _gauge(
            "sagesched_predictor_concordance",
            "Agreement of predicted and real order of recent answers, -1 to 1, about Kendall's tau.",
            trust.concordance,
        )
    yield _gauge(
        "sagesched_gateway_policy_fallback",
        "1 while fcfs is in effect instead of the configured policy: the predicted order does not help.",
        bool(state.policy_reason),
    )


def _gauge(name: str, meaning: str, value: float) -> Metric:
    return GaugeMetricFamily(name, meaning, value=float(value))


def _known(value: str, known: Collection[str]) -> str:
    return value if value in known else OTHER


def _all_errors(root: type[GatewayError] = GatewayError) -> Iterable[type[GatewayError]]:
    yield root
    for cls in root.__subclasses__():
        yield from _all_errors(cls)

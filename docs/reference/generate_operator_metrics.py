"""The page of the operator's series, operator-metrics.md."""

from __future__ import annotations

from markdown_page import page, table

from sagesched_operator.control.metrics import OperatorMetrics
from sagesched_operator.control.signal import Signal


def operator_metrics_page() -> str:
    """Every series of the operator's `/metrics`."""
    metrics = OperatorMetrics()
    metrics.request("patch", "Deployment", 200)
    metrics.reconciled("changed", 1.0)
    metrics.repaired("Service")
    metrics.reported("read")
    signal = Signal(wanted=1.0, backlog_s=1.0, backlog_per_pod_s=1.0)
    metrics.serve_signals(lambda: [(("team-a", "llama"), signal)])
    rows = []
    for family in sorted(metrics.registry.collect(), key=lambda family: family.name):
        sample = family.samples[0]
        labels = ", ".join(sorted(set(sample.labels) - {"le"}))
        name = sample.name if family.type == "counter" else family.name
        rows.append((f"`{name}`", family.type, labels, family.documentation))
    return page(
        "Metrics of the operator",
        """
        Served at `/metrics` on port 8080 by every replica; `/healthz` and `/readyz` beside it. The series of
        pools have no value while the load is not known: never a 0.
        """,
        table(("series", "type", "labels", "meaning"), rows),
    )

"""What the operator counts, as it is scraped."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

from prometheus_client import generate_latest

from sagesched_operator.control.metrics import OperatorMetrics
from sagesched_operator.control.queue import WorkQueue
from sagesched_operator.control.workers import NUM_WORKERS, Workers

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "operator-metrics.md"


def test_every_series_that_is_scraped_is_on_the_reference_page():
    metrics = OperatorMetrics()
    metrics.request("get", "Pod", 200)
    metrics.reconciled("changed", 0.1)
    metrics.repaired("Service")
    metrics.reported("read")
    metrics.serve_signals(list)
    names = set(re.findall(r"^# TYPE (\S+)", generate_latest(metrics.registry).decode(), re.MULTILINE))
    assert names == set(re.findall(r"^\| `(\w+)`", PAGE.read_text(), re.MULTILINE))


async def test_pools_that_wait_are_told_while_all_workers_hang():
    class Hanging:
        async def reconcile(self, key):
            await asyncio.Event().wait()

    metrics, queue = OperatorMetrics(), WorkQueue()
    work = asyncio.create_task(Workers(queue, Hanging(), metrics).run())
    for number in range(NUM_WORKERS + 3):
        queue.add(("ns", f"pool-{number}"))
    for _ in range(10):
        await asyncio.sleep(0)
    assert metrics.registry.get_sample_value("sagesched_operator_queue_depth") == 3
    work.cancel()
    await asyncio.gather(work, return_exceptions=True)

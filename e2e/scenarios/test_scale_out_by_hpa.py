"""A HorizontalPodAutoscaler scales a pool by the operator's metric, through Prometheus and its adapter."""

from __future__ import annotations

import pytest

from bed.pool import MakePool
from bed.prometheus_adapter import prometheus_adapter
from bed.record import Record
from bed.scaling import out_and_in, scaled_spec
from cluster.addon_families import PROMETHEUS_ADAPTER
from cluster.node.single_node import SingleNode

_METRIC = "sagesched_pool_wanted_replicas"


@pytest.mark.own_node
@pytest.mark.level(2)
@pytest.mark.needs(PROMETHEUS_ADAPTER.name)
@pytest.mark.timeout(600)
def test_scale_out_by_hpa(installed: SingleNode, make_pool: MakePool, record: Record) -> None:
    with prometheus_adapter(installed), make_pool(scaled_spec("HPA")) as pool:

        def is_active() -> bool:
            status = pool.get("hpa", pool.name).get("status", {})
            conditions = {each["type"]: each["status"] for each in status.get("conditions", ())}
            return conditions.get("ScalingActive") == "True"

        took_s = pool.wait(is_active, "scaled by a metric that is there", 90)
        record.proved(f"{_METRIC} reaches the HorizontalPodAutoscaler {took_s:.1f} s after the pool is ready")
        out_and_in(pool, record)

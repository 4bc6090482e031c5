"""A change of the pods' template rolls a pool under load: every open stream gets all of its tokens."""

from __future__ import annotations

import time

import pytest

from bed.load import OPENAI, Load
from bed.pool import MODEL, MakePool, emulated
from bed.record import Record
from bed.traffic import Traffic

_REPLICAS = 2


@pytest.mark.level(1)
@pytest.mark.timeout(480)
def test_rolling_update_streams_finish(make_pool: MakePool, record: Record) -> None:
    with make_pool(emulated(_REPLICAS)) as pool:
        old = {pod["metadata"]["uid"] for pod in pool.ready_pods()}
        triton = Load(target=pool.address(), tokens=(50, 300), name="grpc")
        openai = Load(target=pool.address(), tokens=(50, 300), name="http", client=OPENAI, model=MODEL)
        with Traffic(pool.cluster, triton) as grpc_clients, Traffic(pool.cluster, openai) as http_clients:
            time.sleep(3.0)
            began = time.monotonic()
            pool.patch({"podTemplate": {"annotations": {"changed": "yes"}}})
            pool.wait(lambda: pool.condition("Progressing").get("status") == "True", "rolling", 30)
            pool.wait_settled()
            rolled_s, rolled_at = time.monotonic() - began, time.time()
            left = pool.wait(
                lambda: not old & {pod["metadata"]["uid"] for pod in pool.pods()}, "old pods gone", 180
            )
            time.sleep(3.0)
            accounts = [clients.end() for clients in (grpc_clients, http_clients)]
        new = {pod["metadata"]["uid"] for pod in pool.ready_pods()}
    record.proved(
        f"{_REPLICAS} pods replaced under load in {rolled_s:.1f} s, the last old one gone {left:.0f} s later"
    )
    assert len(new) == _REPLICAS
    assert not new & old
    for load, account in zip((triton, openai), accounts, strict=True):
        record.answered(account, load.client)
        assert account.problems == []
        assert account.errors == {}
        assert any(each.due > rolled_at for each in account.timings)

"""The API server does not answer for a minute: requests are served, and what is asked afterwards is done."""

from __future__ import annotations

import os
import signal
import time

import pytest

from bed.load import OPENAI, Load
from bed.pool import MODEL, MakePool, emulated
from bed.record import Record
from bed.traffic import Traffic

_OUTAGE_S = 45.0
_SOON_S = 60.0


@pytest.mark.own_node
@pytest.mark.level(2)
@pytest.mark.timeout(400)
def test_api_server_outage(make_pool: MakePool, record: Record) -> None:
    with make_pool(emulated(2)) as pool:
        pods = {pod["metadata"]["uid"] for pod in pool.ready_pods()}
        at = pool.cluster.layout
        server = int((at.processes / "kube-apiserver").read_text().split()[0])
        grpc = Load(target=pool.address(), name="grpc")
        http = Load(target=pool.address(), name="http", client=OPENAI, model=MODEL)
        with Traffic(pool.cluster, grpc) as grpc_clients, Traffic(pool.cluster, http) as http_clients:
            time.sleep(2.0)
            os.kill(server, signal.SIGSTOP)
            try:
                time.sleep(_OUTAGE_S)
            finally:
                os.kill(server, signal.SIGCONT)
            began = time.monotonic()
            pool.wait(lambda: pool.cluster.is_up, "answered by the API server", 60)
            pool.patch({"scheduling": {"policy": "fcfs"}})
            pool.wait(
                lambda: {pool.gateway_status(pod)["policy"] for pod in pool.ready_pods()} == {"fcfs"},
                "under the policy asked for afterwards",
                150,
            )
            took = time.monotonic() - began
            pool.wait_settled(60)
            accounts = [clients.end() for clients in (grpc_clients, http_clients)]
        after = {pod["metadata"]["uid"] for pod in pool.ready_pods()}
    record.proved(
        f"API server silent for {_OUTAGE_S:.0f} s; a change made right after is in effect {took:.1f} s later"
    )
    assert after == pods
    for load, account in zip((grpc, http), accounts, strict=True):
        record.answered(account, load.client)
        assert account.problems == []
        assert account.errors == {}

"""No memory is left in the gateway's container: the kernel ends the predictor, the gateway serves on."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from bed import container_process
from bed.load import Load
from bed.pool import MakePool, Pool, emulated, restarts
from bed.record import Record
from bed.traffic import Traffic

_ROOM_BYTES, _ASKED_BYTES = 2 * 2**20, 64 * 2**20


@pytest.mark.own_node
@pytest.mark.level(2)
@pytest.mark.timeout(300)
def test_predictor_out_of_memory(make_pool: MakePool, record: Record) -> None:
    with make_pool(emulated()) as pool:
        [pod] = pool.ready_pods()
        with Traffic(pool.cluster, Load(target=pool.address())) as traffic:
            time.sleep(3.0)
            [worker] = container_process.pids_of(pod, "gateway", "sagesched_predictor.worker")
            limit = _limit_file(worker)
            before = limit.read_text().strip()
            try:
                _squeeze(pool, limit, worker)
            finally:
                limit.write_text(before)
            squeezed_at = time.monotonic()
            pool.wait(lambda: _predictor(pool)["state"] == "ready", "predicting again", 60)
            took = time.monotonic() - squeezed_at
            time.sleep(2.0)
            status = _predictor(pool)
            account = traffic.end()
        [after] = pool.ready_pods()
    record.proved(
        f"predictor restarted {status['restarts']} times, ready {took:.1f} s after there was memory again"
    )
    record.answered(account)
    assert status["restarts"] >= 1
    assert restarts(after) == {}
    assert account.problems == []
    assert account.errors == {}


def _predictor(pool: Pool) -> dict[str, Any]:
    [pod] = pool.ready_pods()
    predictor: dict[str, Any] = pool.gateway_status(pod)["predictor"]
    return predictor


def _limit_file(pid: int) -> Path:
    group = container_process.memory_group(pid)
    names = ("memory.limit_in_bytes", "memory.max")
    return next(group / name for name in names if (group / name).exists())


def _squeeze(pool: Pool, limit: Path, worker: int) -> None:
    """Leave the container almost no room, then ask for some in it, until the predictor has been ended."""
    together = limit.parent / "memory.oom.group"
    if together.exists():  # cgroup v2: as with kubelet's `singleProcessOOMKill`
        together.write_text("0")
    files = [limit.parent / name for name in ("memory.usage_in_bytes", "memory.current")]
    [used] = [file for file in files if file.exists()]
    [pod] = pool.ready_pods()
    ends_at = time.monotonic() + 60
    while _is_live(worker):
        assert time.monotonic() < ends_at, "the kernel ended nobody"
        limit.write_text(str(int(used.read_text()) + _ROOM_BYTES))
        # It may be ended itself.
        pool.cluster.run(
            *("kubectl", "-n", pool.namespace, "exec", pod["metadata"]["name"], "-c", "gateway", "--"),
            *("python3", "-c", f"b'x' * {_ASKED_BYTES}"),
        )


def _is_live(pid: int) -> bool:
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False

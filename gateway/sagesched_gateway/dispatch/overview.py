"""Dispatch at a glance: the core's figures and its own in one snapshot."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping

from sagesched_gateway.dispatch.capacity import CapacityModel
from sagesched_gateway.dispatch.ports import DispatchSnapshot, PredictorState
from sagesched_gateway.scheduling.outlook import Outlook
from sagesched_gateway.scheduling.scheduler import Scheduler
from sagesched_predictor.trust import TrustReport

_WEIGHT = 1 / 32  # of one request in the running means


class UsualSize:
    """Prompt and cap of the usual newcomer: running means over the latest thirty or so.

    Attributes:
        prompt_tokens: mean prompt, tokens.
        max_tokens: mean cap, tokens.
    """

    def __init__(self) -> None:
        self.prompt_tokens = 1.0
        self.max_tokens = 1.0
        self._num_seen = 0

    def note(self, prompt_tokens: int, max_tokens: int) -> None:
        """One more has come."""
        self._num_seen += 1
        weight = max(_WEIGHT, 1 / self._num_seen)
        self.prompt_tokens += weight * (prompt_tokens - self.prompt_tokens)
        self.max_tokens += weight * (max_tokens - self.max_tokens)

    def outlook(self, scheduler: Scheduler, now: float) -> Outlook:
        """What is to come, `eta` being that of such a newcomer."""
        prompt_tokens, max_tokens = round(self.prompt_tokens), round(self.max_tokens)
        return scheduler.outlook(now, prompt_tokens=prompt_tokens, max_tokens=max_tokens)


class Rekeys:
    """Counts how often the whole queue was given new keys."""

    def __init__(self, counters: Counter[str], tell: Callable[[], None]) -> None:
        self._counters = counters
        self._tell = tell

    def note(self, num_rekeys: int) -> None:
        """There were so many by now."""
        while self._counters["rekeys"] < num_rekeys:
            self._counters["rekeys"] += 1
            self._tell()


def drain_words(num_requests: int, outlook: Outlook) -> str:
    """How long a drain of so many requests will take, for the log."""
    return (
        f"{num_requests} requests here, predicted to take {outlook.drain_all_s:.0f} s "
        f"(what runs: {outlook.drain_in_flight_s:.0f} s)"
    )


def snapshot_of(
    scheduler: Scheduler,
    now: float,
    *,
    queued_bytes: int,
    capacity: CapacityModel,
    draining: bool,
    predictor: PredictorState,
    trust: TrustReport,
    policy_reason: str,
    counters: Mapping[str, int],
) -> DispatchSnapshot:
    """All of it in one."""
    core = scheduler.snapshot()
    return DispatchSnapshot(
        queued=core.num_queued,
        queued_bytes=queued_bytes,
        in_flight=core.num_running,
        policy=core.policy,
        policy_note=core.policy_note or "",
        backlog_s=core.backlog_s,
        oldest_wait_s=0.0 if core.oldest_arrival_at is None else now - core.oldest_arrival_at,
        time_to_start_all_s=core.time_to_start_all_s,
        gamma=core.gamma,
        slots=core.slots,
        kv_blocks_reserved=core.reserved_blocks,
        kv_blocks=core.kv_blocks,
        kv_blocks_usable=core.kv_blocks_usable,
        iteration_s=capacity.current.iteration_s,
        strangers=capacity.sense.strangers,
        metrics_stale=capacity.sense.is_stale,
        engine_waits=core.num_waits_inside,
        draining=draining,
        predictor=predictor,
        trust=trust,
        policy_reason=policy_reason,
        evictions=core.num_evictions,
        discarded_tokens=core.discarded_tokens,
        tenants=core.tenants,
        counters=counters,
    )

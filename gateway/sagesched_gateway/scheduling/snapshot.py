"""`SchedulerSnapshot`: the core at a glance, for status and metrics."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


class TenantState(NamedTuple):
    """A tenant that waits.

    Attributes:
        name: the tenant.
        priority: the band of its requests.
        weight: its share relative to the others'.
        queued: its requests that wait.
        backlog_s: predicted service seconds of these.
        owes_s: service seconds over weight by which it was charged more than the one whose turn it is.
    """

    name: str
    priority: int
    weight: float
    queued: int
    backlog_s: float
    owes_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SchedulerSnapshot:
    """The core at a glance, as of the last event.

    Attributes:
        policy: name of the policy in force.
        num_queued: jobs waiting.
        num_running: jobs in flight, those being stopped included.
        backlog_s: predicted service seconds of everything waiting.
        gamma: tail rate in force since the last decision, 1/s; None for policies without one.
        num_rekeys: times that all keys moved at once, since the beginning.
        slots: requests that may be in flight at once.
        reserved_slots: those that are.
        kv_blocks: the engine's KV pool; None where unknown.
        reserved_blocks: blocks that jobs in flight hold or are estimated to hold.
        kv_blocks_usable: blocks that may be filled, by what is known and measured; None for any number.
        num_waits_inside: jobs so far that had to wait inside the engine.
        unprefilled_tokens: prompt tokens sent and not yet prefilled.
        oldest_arrival_at: earliest arrival among the waiting; None when nothing waits.
        num_evictions: jobs cancelled to be started again, since the beginning.
        discarded_tokens: output tokens that these had generated in vain.
        time_to_start_all_s: predicted seconds until all that waits has started, as the drain is measured.
        drain_ratio: work that leaves the queue per second over what the predictions say it should be.
        tenants: those that wait, most work first; empty where they have no shares.
        policy_note: why the policy cannot work on this engine as it should, for people; None where it can.
    """

    policy: str
    num_queued: int
    num_running: int
    backlog_s: float
    gamma: float | None
    num_rekeys: int
    slots: int
    reserved_slots: int
    kv_blocks: int | None
    reserved_blocks: int
    kv_blocks_usable: int | None
    num_waits_inside: int
    unprefilled_tokens: int
    oldest_arrival_at: float | None
    num_evictions: int
    discarded_tokens: int
    time_to_start_all_s: float
    drain_ratio: float
    tenants: tuple[TenantState, ...]
    policy_note: str | None

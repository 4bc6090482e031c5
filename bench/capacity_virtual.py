"""One cell of `capacity.py` in virtual time: the live gateway's model of the engine before a replayed one.

The engine's gauges are a tenth of a second old, and chunks are heard of as live (`capacity_heard`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from capacity_cells import RULES, STALE_AFTER_S, Cell
from capacity_heard import Hearing

from sagesched_emulator.iteration import Emission
from sagesched_emulator.profiles import EngineProfile
from sagesched_emulator.trace import Trace, TraceRequest
from sagesched_gateway.dispatch.capacity import CapacityModel, EngineSettings
from sagesched_gateway.dispatch.gauge_sense import Ours
from sagesched_gateway.dispatch.ports import EngineGauges
from sagesched_gateway.dispatch.token_estimate import TokenEstimate
from sagesched_gateway.scheduling.events import CapacityChanged
from sagesched_gateway.scheduling.settings import PolicySettings
from sagesched_replay.fronts import Gateway
from sagesched_replay.knowledge import Ignorance, OtherAnswers
from sagesched_replay.replay import BLIND, DIRECT, Replay, ReplayRun, ReplaySettings, Served

LATE = 2
LOOK_EVERY = 2  # of the calls of `measured`, each 0.1 s


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A run after its first third.

    Attributes:
        wait_p99: iterations in the engine's own queue.
        waited: share of requests that waited there for more than two.
        batch: mean number of running requests while others waited.
        tokens_per_s: output tokens that the engine generated meanwhile.
        mean_s: mean time to the last token of all.
        pauses: requests that the engine paused.
        early: share that waited for more than two iterations in the first third.
    """

    wait_p99: float
    waited: float
    batch: float
    tokens_per_s: float
    mean_s: float
    pauses: int
    early: float


class CellSettings(NamedTuple):
    """How the gateway is set.

    Attributes:
        policy: its name.
        headroom: iterations of growth kept free; None for the product's.
        estimates: it has no tokenizer.
    """

    policy: str
    headroom: float | None = None
    estimates: bool = False


class ToldGateway(Gateway):
    """The replayed gateway, told of its engine what the live one would be told."""

    def __init__(
        self, world: Replay, engine: EngineProfile, settings: ReplaySettings, cell: Cell, estimates: bool
    ) -> None:
        self._cell = cell
        self._estimate = TokenEstimate() if estimates and not cell.tells_lengths else None
        self._engine = world.engine
        self._model = CapacityModel(
            EngineSettings(
                kv_policy=cell.kv_policy_to_set(), kv_headroom_iterations=settings.kv_headroom_iterations
            )
        )
        self._model.told_limits(cell.limits(engine))
        self._num_looks = 0
        self._shown = world.engine.statistics()
        self._frozen: EngineGauges | None = None
        self._hearing = Hearing(
            world.time,
            settings.hop_s,
            counts_by_text=not cell.tells_lengths,
            tell=self._tell,
            saw_gaps=self._model.saw_gaps,
        )
        blind = settings.policy.name in BLIND
        super().__init__(world, self._model.current, settings, Ignorance() if blind else OtherAnswers())

    def arrive(self, request: TraceRequest) -> None:
        """A client sends a request."""
        if self._estimate is not None:
            tokens = max(math.ceil(self._estimate.of_prompt(request.prompt)), 1)
            request = replace(request, prompt_tokens=tokens)
        super().arrive(request)

    def tokens(self, emissions: Sequence[Emission]) -> None:
        """The engine has ended an iteration."""
        self._hearing.sent(emissions, self._here)

    def _here(self, emission: Emission) -> None:
        if emission.stopped:
            self._relay([emission])
            return
        request = self._world.served[emission.request_id].request
        self._world.note_tokens(emission)
        self._hearing.here(emission, request)
        if emission.final:
            self._learn(self._knowledge.observe(request))

    def measured(self, iteration_s: float) -> None:
        """The engine has refreshed its gauges; a look still finds those of a tenth of a second before."""
        del iteration_s  # nobody tells
        self._num_looks += 1
        before = self._model.current
        gauges = self._gauges() if self._num_looks % LOOK_EVERY == 0 else None
        if gauges is not None:
            core = self._scheduler.snapshot()
            ledger = self._scheduler.books.ledger
            growth = core.num_running / (ledger.capacity.iteration_s * ledger.capacity.block_tokens)
            ours = Ours(core.num_running, core.reserved_blocks, growth if ledger.grows else 0.0)
            self._model.saw_gauges(gauges, self._world.time.now, busy=True, ours=ours)
        elif self._num_looks % LOOK_EVERY == 0:
            self._model.saw_gauges(EngineGauges(), self._world.time.now, busy=True)
        self._shown = self._engine.statistics()
        if self._model.current != before:
            self._tell(CapacityChanged(capacity=self._model.current))

    def _gauges(self) -> EngineGauges | None:
        if not self._cell.has_gauges or self._cell.metrics in ("absent", "nothing"):
            return None
        now = self._shown
        gauges = EngineGauges(
            max_requests=self._engine.profile.max_batch_size,
            active=now.num_active,
            scheduled=now.num_scheduled,
            waiting=now.num_active - now.num_scheduled,
            paused=now.num_paused,
            kv_blocks=now.max_blocks,
            used_blocks=now.used_blocks,
            block_tokens=now.block_tokens,
            iteration=now.iteration,
        )
        if self._cell.metrics == "stale":
            if self._world.time.now < STALE_AFTER_S or self._frozen is None:
                self._frozen = gauges
            return self._frozen
        return self._cell.distorted(gauges)


def engine_of(engine: EngineProfile, rule: str) -> EngineProfile:
    """The engine with its KV reserved by that rule."""
    return replace(engine, kv_policy=RULES[rule])


def run_direct(trace: Trace, engine: EngineProfile) -> Seen:
    """The engine by itself."""
    return _seen(_run(trace, engine, CellSettings(DIRECT), None))


def run_cell(trace: Trace, engine: EngineProfile, cell: Cell, settings: CellSettings) -> tuple[Seen, Seen]:
    """The gateway in front of it; and what fits: the engine when it packs that order by itself."""
    run = _run(trace, engine, settings, cell)
    starts = {id: served.started_at for id, served in run.served.items()}
    order = sorted(trace.requests, key=lambda request: (starts[request.id] is None, starts[request.id]))
    at_once = replace(
        trace, requests=tuple(replace(r, arrival_s=1e-6 * number) for number, r in enumerate(order))
    )
    return _seen(run), _seen(_run(at_once, engine, CellSettings(DIRECT), None))


class _Ran(NamedTuple):
    result: ReplayRun
    early: list[int]
    served: Mapping[str, Served]


def _run(trace: Trace, engine: EngineProfile, how: CellSettings, cell: Cell | None) -> _Ran:
    settings = ReplaySettings(
        policy=PolicySettings(name=how.policy),
        unsettled_starts=len(trace.requests) // 3,
        kv_headroom_iterations=how.headroom,
    )
    make = None if cell is None else (lambda world: ToldGateway(world, engine, settings, cell, how.estimates))
    world = Replay(trace, engine, settings, Ignorance(), lambda: None, make)
    result = world.run()
    early = world.engine.queue_waits[: settings.unsettled_starts]
    return _Ran(result, [iterations for _, iterations in early], world.served)


def _seen(run: _Ran) -> Seen:
    waits = np.array([iterations for _, iterations in run.result.engine_waits])
    done = [s.last_at - s.request.arrival_s for s in run.result.served if s.last_at is not None]
    return Seen(
        wait_p99=float(np.quantile(waits, 0.99)),
        waited=float((waits > LATE).mean()),
        batch=run.result.backlog_batch,
        tokens_per_s=run.result.backlog_tokens_per_s,
        mean_s=float(np.mean(done)),
        pauses=run.result.evictions,
        early=float((np.array(run.early) > LATE).mean()),
    )

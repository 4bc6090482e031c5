"""`Dispatcher`: the one door between the faces and the engine.

A request's way: `generate` reads it, counts its prompt and submits it to the core; the core says `Start`, at
once when the engine has room; a pump then carries chunks from Triton to the caller until the engine's own
end, which alone gives the place back. Meanwhile the predictor is asked, and whatever it answers in time moves
the request in the queue. The caller's side (`Generation`) may end earlier: it goes away, or its deadline
passes; the engine is then really stopped.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine
from itertools import count
from typing import Any

from sagesched_gateway.dispatch.capacity import CapacityModel
from sagesched_gateway.dispatch.features import features_of
from sagesched_gateway.dispatch.gauge_sense import Ours
from sagesched_gateway.dispatch.generation import Generation, Listener
from sagesched_gateway.dispatch.live_request import CANCELLED, LiveRequest
from sagesched_gateway.dispatch.lives import Lives
from sagesched_gateway.dispatch.loop import SchedulingLoop
from sagesched_gateway.dispatch.models import Models
from sagesched_gateway.dispatch.overview import Rekeys, UsualSize, drain_words, snapshot_of
from sagesched_gateway.dispatch.ports import (
    DispatchSnapshot,
    LengthPredictor,
    NoRecorder,
    NoTracing,
    Recorder,
    Telemetry,
    Tracing,
    Upstream,
)
from sagesched_gateway.dispatch.pump import Pump
from sagesched_gateway.dispatch.questions import Questions
from sagesched_gateway.dispatch.queue_limits import QueueLimits, Waiting
from sagesched_gateway.dispatch.refused import error_of
from sagesched_gateway.dispatch.settling import Settling
from sagesched_gateway.dispatch.token_count import TokenCounter
from sagesched_gateway.dispatch.trust_watch import TrustWatch
from sagesched_gateway.errors import DrainingError, GatewayError, InvalidRequestError
from sagesched_gateway.kserve import ModelInferRequest
from sagesched_gateway.request import (
    NO_ATTRIBUTES,
    Attributes,
    Conversation,
    GenerationRequest,
    Metadata,
    StopOrderError,
)
from sagesched_gateway.scheduling.commands import Reject
from sagesched_gateway.scheduling.events import (
    CapacityChanged,
    Draining,
    PolicyChanged,
    PressureChanged,
    Submitted,
)
from sagesched_gateway.scheduling.outlook import Outlook
from sagesched_gateway.scheduling.scheduler import NO_PRESSURE, Scheduler
from sagesched_gateway.scheduling.settings import PolicySettings, PressureSettings
from sagesched_predictor.trust import Trust

_LOG = logging.getLogger(__name__)

_STOPPING_S = 3.0  # after a drain's end: what cancelling in the engine may take


class Dispatcher(Models):
    """Queues, starts, follows and ends generations. Lives on one event loop; no call blocks it."""

    def __init__(
        self,
        *,
        upstream: Upstream,
        predictor: LengthPredictor,
        telemetry: Telemetry,
        counter: TokenCounter,
        capacity: CapacityModel,
        policy: PolicySettings,
        pressure: PressureSettings = NO_PRESSURE,
        limits: QueueLimits | None = None,
        recorder: Recorder | None = None,
        until_back: Callable[[], Awaitable[bool]] | None = None,
        trust: Trust | None = None,
        separates_tenants: bool = False,
        tracing: Tracing | None = None,
    ) -> None:
        """Start empty; must be called inside the running event loop.

        Args:
            upstream: Triton.
            predictor: predicts lengths.
            telemetry: the metrics.
            counter: counts prompts.
            capacity: what is known of the engine.
            policy: the order.
            pressure: deadlines, limits, tenants.
            limits: how much may wait.
            recorder: keeps what happened; None keeps nothing.
            until_back: see `Pump`; None takes Triton to be there always.
            trust: how far predictions are believed.
            separates_tenants: keep what tenants teach apart.
            tracing: makes traces of requests; None makes none.

        Raises:
            ValueError: unknown policy, or a knob out of its range.
        """
        super().__init__(upstream)
        self._predictor = predictor
        self._telemetry = telemetry
        self._counter = counter
        self._capacity = capacity
        self._waiting = Waiting(limits or QueueLimits())
        self._scheduler = Scheduler(policy, capacity.current, pressure=pressure)
        self._core = SchedulingLoop(self._scheduler, self)
        self._trust = TrustWatch(
            policy,
            trust=trust or Trust(),
            use=lambda settings: self._core.post(PolicyChanged(settings=settings)),
            tokens_of=lambda job_id: live.output_tokens if (live := self._lives.find(job_id)) else None,
        )
        self._separates_tenants = separates_tenants
        self._tracing = tracing or NoTracing()
        self._loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        self._counters: Counter[str] = Counter()
        self._questions = Questions(
            predictor=predictor,
            core=self._core,
            trust=self._trust,
            telemetry=telemetry,
            counters=self._counters,
            find=lambda job_id: self._lives.find(job_id),  # made below
        )
        self._lives = Lives(
            core=self._core,
            waiting=self._waiting,
            trust=self._trust,
            settling=Settling(
                predictor=predictor,
                telemetry=telemetry,
                recorder=recorder or NoRecorder(),
                counters=self._counters,
            ),
            ask=self._questions.ask,
            policy_name=lambda: self._scheduler.policy.name,
        )
        self._pump = Pump(
            core=self._core,
            telemetry=telemetry,
            capacity=capacity,
            counter=counter,
            counters=self._counters,
            finish=self._lives.finish,
            predict=self._questions.ask,
            until_back=until_back,
        )
        self._usual = UsualSize()
        self._rekeys = Rekeys(self._counters, telemetry.rekeyed)
        self._is_draining = False
        # Unique among gateways and their restarts: `stop` works by id.
        self._id_prefix = f"sagesched-{os.urandom(4).hex()}-"
        self._numbers = count(1)

    # --- The faces' side ---

    @property
    def num_live(self) -> int:
        """Requests queued or running."""
        return len(self._lives)

    @property
    def num_waiting(self) -> int:
        """Requests queued."""
        return self._scheduler.num_waiting

    def generate(
        self,
        message: ModelInferRequest,
        *,
        body: bytes | None = None,
        deadline_at: float | None = None,
        metadata: Metadata = (),
        attributes: Attributes = NO_ATTRIBUTES,
        listener: Listener | None = None,
        conversation: Conversation | None = None,
    ) -> Generation:
        """Take a request.

        Args:
            message: the caller's message, left as it is.
            body: the same as it came; None serializes it.
            deadline_at: when the caller gives up, on the event loop's clock (`loop.time()`); None for never.
            metadata: passed on to Triton.
            attributes: as believed; their deadline counts beside `deadline_at`.
            listener: takes the responses instead of the iteration.
            conversation: the chat that its prompt was rendered from.

        Raises:
            DrainingError: no new requests are taken.
            QueueFullError: too much waits already.
            InvalidRequestError: the message cannot be read (as `StopOrderError` where it is no generation but
                an order to stop one, which is carried out).
        """
        arrival_at = self._loop.time()
        try:
            request = self._read(message, body, metadata)
        except StopOrderError as order:
            self._lives.stop_by_client_id(order.client_id)
            raise
        except GatewayError as error:
            self._counters["refused"] += 1
            self._telemetry.request_refused(error.word)
            raise
        generation = Generation(
            client_id=request.client_id,
            model=request.model,
            close=lambda: self._lives.close(live, None, CANCELLED),
            listener=listener,
        )
        live = LiveRequest(
            request=request,
            generation=generation,
            arrival_at=arrival_at,
            waits_since=arrival_at,
            attributes=attributes,
            conversation=conversation,
            trace=self._tracing.begin(
                request, self._loop.time() - arrival_at, is_chat=conversation is not None
            ),
        )
        self._counters["received"] += 1
        if attributes.deadline_s is not None:
            wanted_at = arrival_at + attributes.deadline_s
            deadline_at = wanted_at if deadline_at is None else min(deadline_at, wanted_at)
        self._lives.begin(live, deadline_at)
        if request.prompt_tokens is None and self._counter.is_slow(request.prompt):
            self._keep(self._count_then_submit(live))
        else:
            self._submit(live, request.prompt_tokens or self._counter.count_prompt(request.prompt))
        self._telemetry.request_received(request.model)
        return generation

    def _read(self, message: ModelInferRequest, body: bytes | None, metadata: Metadata) -> GenerationRequest:
        upstream_id = f"{self._id_prefix}{next(self._numbers)}"
        body = message.SerializeToString() if body is None else body
        try:
            request = self._upstream.read(message, body, upstream_id, metadata)
        except StopOrderError:
            raise  # it makes room, so it is carried out when no newcomer is taken
        except InvalidRequestError:
            self._refuse_newcomer(len(body))
            raise
        self._refuse_newcomer(len(body))
        return request

    def _refuse_newcomer(self, num_bytes: int) -> None:
        """Raise where nobody is taken now."""
        if self._is_draining:
            raise DrainingError("the gateway is shutting down and takes no new requests")
        self._waiting.check(
            self.num_waiting, num_bytes, lambda: self._scheduler.time_to_start_all_s, self._loop.time()
        )

    def snapshot(self) -> DispatchSnapshot:
        """The state of dispatch now."""
        self._rekeys.note(self._scheduler.books.num_rekeys)
        return snapshot_of(
            self._scheduler,
            self._loop.time(),
            queued_bytes=self._waiting.bytes,
            capacity=self._capacity,
            draining=self._is_draining,
            predictor=self._predictor.state(),
            trust=self._trust.report,
            policy_reason=self._trust.reason,
            counters=dict(self._counters),
        )

    def outlook(self) -> Outlook:
        """What is to come, as predicted now, `eta` being that of a newcomer of the usual size."""
        return self._usual.outlook(self._scheduler, self._loop.time())

    def until_ended_s(self, quantile: float) -> float:
        """Predicted seconds until all in flight has ended, with this probability."""
        return self._scheduler.until_ended_s(self._loop.time(), quantile)

    async def drain(self, max_s: float) -> None:
        """Refuse new requests and finish what is here, for at most `max_s` seconds; then end the rest.

        What waits and will rather be cut off at the end than be done by then is refused at once.
        """
        self._is_draining = True
        _LOG.info("drain: %s, at most %.0f s", drain_words(len(self._lives), self.outlook()), max_s)
        self._core.post(Draining(until=self._loop.time() + max_s))
        if not await self._lives.until_none(max_s):
            _LOG.warning("drain: %d requests not finished after %.0f s are ended", len(self._lives), max_s)
        await self.abort()

    async def abort(self) -> None:
        """End everything now; waits for the engine's ends for a few seconds."""
        self._is_draining = True
        for live in self._lives:
            error = DrainingError("the gateway shut down before the request was finished")
            self._lives.close(live, error, error.word)
        if not await self._lives.until_none(_STOPPING_S):
            _LOG.warning("drain: %d requests did not end in the engine", len(self._lives))
        for task in list(self._tasks):
            task.cancel()
        self._core.close()

    # --- The core's side: see `loop.Performer` ---

    def start(self, job_id: str) -> None:
        """Send the job to Triton."""
        live = self._lives[job_id]
        failure = None
        try:
            live.call = self._upstream.open(live.request)  # first of all; the books can wait
            self._keep(self._pump.run(live, live.call))
        except GatewayError as error:
            failure = error
        live.attempts += 1
        live.started_at = self._loop.time()
        self._trust.started(live)
        waited_s = live.started_at - live.waits_since
        live.generation.queue_s = (live.generation.queue_s or 0.0) + waited_s
        if live.attempts == 1:
            self._waiting.bytes -= len(live.request.body)
            self._telemetry.request_started(waited_s)
        self._rekeys.note(self._scheduler.books.num_rekeys)
        if failure is not None:
            self._lives.finish(live, failure)

    def stop(self, job_id: str) -> None:
        """Cancel the running job in the engine."""
        call = self._lives[job_id].call
        if call is not None:
            self._keep(call.cancel())

    def evict(self, job_id: str) -> None:
        """Take the running job back: nothing of it reaches its caller from now on."""
        live = self._lives[job_id]
        # What its caller has seen meanwhile cannot be taken back: then it runs on to its end.
        if live.call is not None and live.generation.num_responses == 0:
            live.is_evicted = True
            self._keep(live.call.cancel())

    def reject(self, refusal: Reject) -> None:
        """Refuse the job."""
        error = error_of(refusal, self._waiting.limits.code)
        self._lives.refuse(self._lives[refusal.job_id], error)

    def ours(self) -> Ours:
        """What we have in the engine, as the core counts it."""
        core, ledger = self._scheduler.snapshot(), self._scheduler.books.ledger
        block_s = ledger.capacity.iteration_s * ledger.capacity.block_tokens
        growth = core.num_running / block_s if ledger.grows else 0.0
        return Ours(core.num_running, core.reserved_blocks, growth)

    def capacity_changed(self) -> None:
        """The capacity model has a new value."""
        self._core.post(CapacityChanged(capacity=self._capacity.current))

    # --- The operator's side ---

    def use_policy(self, policy: PolicySettings) -> None:
        """Order by another policy, or with other knobs, from now on; what waits is put into the new order.

        Raises:
            ValueError: unknown policy, or a knob out of its range; nothing is changed then.
        """
        self._trust.use_policy(policy)

    def use_pressure(self, pressure: PressureSettings) -> None:
        """Judge deadlines, overload and tenants by other settings; nobody who waits is refused for it."""
        self._core.post(PressureChanged(settings=pressure))

    def use_limits(self, limits: QueueLimits) -> None:
        """Refuse by other limits from now on."""
        self._waiting.limits = limits

    # --- A request's beginning ---

    async def _count_then_submit(self, live: LiveRequest) -> None:
        tokens = await asyncio.to_thread(self._counter.count_prompt, live.request.prompt)
        if live in self._lives:
            self._submit(live, tokens)

    def _submit(self, live: LiveRequest, prompt_tokens: int) -> None:
        request = live.request
        prompt_tokens = self._capacity.admissible(
            prompt_tokens,
            request.max_tokens,
            is_exact=request.prompt_tokens is not None or self._counter.is_exact,
        )
        self._usual.note(prompt_tokens, request.max_tokens)
        tenant = live.attributes.tenant if self._separates_tenants else ""
        live.features = features_of(request, prompt_tokens, tenant=tenant, conversation=live.conversation)
        self._core.post(
            Submitted(
                job_id=live.job_id,
                arrival_at=live.arrival_at,
                prompt_tokens=prompt_tokens,
                max_tokens=request.max_tokens,
                awaits_prediction=self._predictor.is_on and bool(request.prompt),
                tenant=live.attributes.tenant,
                priority=live.attributes.priority,
                deadline_at=live.deadline_at,
                take_back=live.take_back,
                streams=request.streams,
            )
        )
        # What has started needs no prediction now: the encoder would only compete with its first token.
        if live.started_at is None and live.outcome is None:
            self._questions.ask(live)

    def _keep(self, work: Coroutine[Any, Any, None]) -> None:
        """Run a task and hold on to it until it is done."""
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

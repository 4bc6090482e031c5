"""`Lives`: all requests between their arrival and the end of both sides, and every way in which one ends.

    the engine ends it            `finish`: its place is free, its caller hears of it, the books are closed
    its caller goes, or is sent   `close`: its caller hears of it; the books wait for the engine's own end
    it is refused while it waits  `refuse`: both at once

Only the engine's end gives a place back, so whoever closes a running request has it stopped in the engine and
leaves the rest to `finish`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator

from sagesched_gateway.dispatch.live_request import CANCELLED, COMPLETED, LiveRequest
from sagesched_gateway.dispatch.loop import SchedulingLoop
from sagesched_gateway.dispatch.queue_limits import Waiting
from sagesched_gateway.dispatch.settling import Settling
from sagesched_gateway.dispatch.trust_watch import TrustWatch
from sagesched_gateway.errors import DeadlineError, GatewayError, StoppedError
from sagesched_gateway.scheduling.events import Cancelled, Finished


class Lives:
    """Of one dispatcher."""

    def __init__(
        self,
        *,
        core: SchedulingLoop,
        waiting: Waiting,
        trust: TrustWatch,
        settling: Settling,
        ask: Callable[[LiveRequest], None],
        policy_name: Callable[[], str],
    ) -> None:
        """Start empty; must be called inside the running event loop.

        Args:
            core: hears of ends.
            waiting: counts the bytes of what waits.
            trust: hears what answers came to.
            settling: keeps the books of what is over.
            ask: asks the predictor about a request, unless it was asked before.
            policy_name: the policy in effect.
        """
        self._core = core
        self._waiting = waiting
        self._trust = trust
        self._settling = settling
        self._ask = ask
        self._policy_name = policy_name
        self._loop = asyncio.get_running_loop()
        self._live: dict[str, LiveRequest] = {}
        self._is_empty = asyncio.Event()
        self._is_empty.set()

    def __len__(self) -> int:
        return len(self._live)

    def __iter__(self) -> Iterator[LiveRequest]:
        """As they are now: they may end meanwhile."""
        return iter(list(self._live.values()))

    def __contains__(self, live: LiveRequest) -> bool:
        return live.job_id in self._live

    def __getitem__(self, job_id: str) -> LiveRequest:
        return self._live[job_id]

    def find(self, job_id: str) -> LiveRequest | None:
        """The request of that id; None where it is over."""
        return self._live.get(job_id)

    def begin(self, live: LiveRequest, deadline_at: float | None) -> None:
        """One more has come; past `deadline_at`, on the event loop's clock, its caller will be gone."""
        self._live[live.job_id] = live
        self._waiting.bytes += len(live.request.body)
        self._is_empty.clear()
        if deadline_at is not None:
            live.deadline_at = deadline_at
            live.deadline = self._loop.call_at(deadline_at, self.expire, live)

    async def until_none(self, within_s: float) -> bool:
        """Wait until all are over; False where that takes longer."""
        try:
            async with asyncio.timeout(within_s):
                await self._is_empty.wait()
        except TimeoutError:
            return False
        return True

    def finish(self, live: LiveRequest, error: GatewayError | None) -> None:
        """The engine has ended the request: its place is free, and the next one goes before the books."""
        if live.outcome is None:
            live.outcome = COMPLETED if error is None else error.word
        is_counted = live.request.counts_tokens and live.outcome == COMPLETED
        output_tokens = live.output_tokens if is_counted else None
        self._core.post(Finished(job_id=live.job_id, output_tokens=output_tokens))
        self._settle(live, error)

    def close(self, live: LiveRequest, error: GatewayError | None, outcome: str) -> None:
        """The caller's side ends before the engine's: forget the request, or stop it in the engine."""
        if live.generation.is_ended or live not in self:
            return
        live.outcome = outcome
        live.generation.end(error)
        if live.features is not None:
            self._core.post(Cancelled(job_id=live.job_id))
        if live.started_at is None:
            self._settle(live, error)

    def refuse(self, live: LiveRequest, error: GatewayError) -> None:
        """The core has refused and forgotten it."""
        live.outcome = error.word
        self._settle(live, error)

    def expire(self, live: LiveRequest) -> None:
        """Its deadline has passed."""
        where = "waited" if live.started_at is None else "ran"
        self.close(live, DeadlineError(f"the deadline passed while the request {where}"), DeadlineError.word)

    def stop_by_client_id(self, client_id: str) -> None:
        """As `stop` does in the engine: what runs gets its end from there, what waits ends here."""
        if not client_id:
            return
        for live in self:
            if live.request.client_id != client_id:
                continue
            if live.started_at is None or live.is_evicted:
                error = StoppedError("stopped by a request with the same id before it had started")
                self.close(live, error, error.word)
            else:
                live.outcome = CANCELLED
                self._core.post(Cancelled(job_id=live.job_id))

    def _settle(self, live: LiveRequest, error: GatewayError | None) -> None:
        """The request is over on both sides."""
        if self._live.pop(live.job_id, None) is None:
            return
        if not live.attempts:
            self._waiting.bytes -= len(live.request.body)
        live.generation.end(error)
        if live.deadline is not None:
            live.deadline.cancel()
        if live.output_tokens > 0:
            self._ask(live)  # in any case before the answer is known
        self._trust.ended(live, is_whole=live.ended_by_itself)
        self._settling.settle(live, self._loop.time() - live.arrival_at, self._policy_name())
        if not self._live:
            self._is_empty.set()

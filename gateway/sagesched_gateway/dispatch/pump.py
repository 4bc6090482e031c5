"""`Pump`: carries one running request's chunks from Triton to the caller until the engine's own end.

It reads on whether or not the caller keeps up, or is still there: only the engine's end gives the place back,
and a slow caller must not hold one. No task per chunk, no waiting but for Triton.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable

from sagesched_gateway.dispatch.capacity import CapacityModel
from sagesched_gateway.dispatch.live_request import PROGRESS_TOKENS, LiveRequest
from sagesched_gateway.dispatch.loop import SchedulingLoop
from sagesched_gateway.dispatch.ports import Telemetry, UpstreamCall
from sagesched_gateway.dispatch.token_count import TokenCounter
from sagesched_gateway.errors import GatewayError, InternalError, UpstreamUnavailableError
from sagesched_gateway.log_fields import about
from sagesched_gateway.scheduling.events import FirstToken, Progressed, Requeued

_LOG = logging.getLogger(__name__)

MAX_RETRIES = 1
"""A request without a token is sent once more when Triton was away or full; then the caller hears of it."""

PREDICT_AFTER_S = 0.005
"""From the first token to the prediction of what needed none to start: the encoder and the token's way to its
caller would want the same cores."""

RETRY_DELAY_S = 0.25
"""Pause before that, its place kept: an engine that refuses one request refuses the next one too."""


async def _is_back() -> bool:
    return True


class Pump:
    """Runs one task per running request."""

    def __init__(
        self,
        *,
        core: SchedulingLoop,
        telemetry: Telemetry,
        capacity: CapacityModel,
        counter: TokenCounter,
        counters: Counter[str],
        finish: Callable[[LiveRequest, GatewayError | None], None],
        predict: Callable[[LiveRequest], None],
        until_back: Callable[[], Awaitable[bool]] | None,
    ) -> None:
        """Prepare.

        Args:
            core: hears of first tokens, progress and requests that wait again.
            telemetry: hears of first tokens.
            capacity: hears of the time between tokens.
            counter: hears of the engine's own counts of prompts.
            counters: totals by name.
            finish: called once when the engine has ended a request.
            predict: called when a request waits again, and a little after its first token: it now wants a
                prediction.
            until_back: waits until Triton is ready, at once where it is; False where that takes too long.
                None takes it to be there always.
        """
        self._core = core
        self._telemetry = telemetry
        self._capacity = capacity
        self._counter = counter
        self._counters = counters
        self._finish = finish
        self._predict = predict
        self._until_back = until_back or _is_back

    async def run(self, live: LiveRequest, call: UpstreamCall) -> None:
        """Carry chunks until the stream's end."""
        generation = live.generation
        try:
            # Runs for every token of every stream: nothing here that a token does not need.
            async for response, new_tokens, is_final, error, prompt_tokens in call:
                if live.is_evicted:
                    generation.output_tokens += new_tokens
                    if is_final:
                        self._come_back(live)
                    continue
                if response is not None:
                    generation.respond(response)
                if new_tokens:
                    generation.output_tokens += new_tokens
                    if live.noted_at is None:
                        await asyncio.sleep(0)  # the caller gets its first token before the books do
                        self._note_first(live, prompt_tokens)
                    elif generation.output_tokens >= live.noted_tokens + PROGRESS_TOKENS:
                        self._note_progress(live, live.noted_at)
                if error is not None and _may_retry(live, error):
                    await self._wait_again(live, error)
                elif is_final:
                    self._finish(live, error)
        except Exception as error:
            _LOG.exception("a request failed inside the gateway", extra=about(live.request))
            self._finish(live, InternalError(f"{type(error).__name__}: {error}"))
            await call.cancel()

    def _note_first(self, live: LiveRequest, prompt_tokens: int | None) -> None:
        if prompt_tokens is not None:
            self._counter.learn(live.request.prompt, prompt_tokens)
        live.noted_at = self._core.now()
        live.noted_tokens = live.output_tokens
        live.generation.ttft_s = live.noted_at - live.arrival_at
        if not live.request.streams and live.output_tokens > 1 and live.started_at is not None:
            # A whole answer tells the time between its tokens, too, if its prefill is not much of it.
            self._capacity.saw_gaps(live.noted_at - live.started_at, live.output_tokens)
        self._telemetry.first_token(live.generation.ttft_s)
        self._core.post(FirstToken(job_id=live.job_id, prompt_tokens=prompt_tokens))
        asyncio.get_running_loop().call_later(PREDICT_AFTER_S, self._predict_running, live)

    def _predict_running(self, live: LiveRequest) -> None:
        if live.outcome is None:
            self._predict(live)

    def _note_progress(self, live: LiveRequest, noted_at: float) -> None:
        now = self._core.now()
        self._capacity.saw_gaps(now - noted_at, live.output_tokens - live.noted_tokens)
        live.noted_at = now
        live.noted_tokens = live.output_tokens
        self._core.post(Progressed(job_id=live.job_id, output_tokens=live.output_tokens))

    async def _wait_again(self, live: LiveRequest, error: GatewayError) -> None:
        """The engine has refused it: put it back into the queue, its arrival kept, once Triton is ready.

        It keeps its place until then, so that no more is sent to a Triton that is away than fits into it.
        """
        await asyncio.sleep(RETRY_DELAY_S)
        if not await self._until_back() or live.outcome is not None:  # stopped meanwhile, or its caller left
            self._finish(live, error)
            return
        live.wait_again(self._core.now())
        live.retries += 1
        self._counters["retried"] += 1
        self._core.post(Requeued(job_id=live.job_id, output_tokens=0))
        self._predict(live)

    def _come_back(self, live: LiveRequest) -> None:
        """The engine has let go of what was taken back; all that it had generated is forgotten.

        That its answer may have been whole by then cannot be told from a cut one by all profiles.
        """
        if live.generation.is_ended:
            self._finish(live, None)
            return
        is_counted = live.request.counts_tokens and live.output_tokens > 0
        output_tokens = live.output_tokens if is_counted else None
        live.wait_again(self._core.now())
        live.evictions += 1
        self._core.post(Requeued(job_id=live.job_id, output_tokens=output_tokens))
        self._predict(live)


def _may_retry(live: LiveRequest, error: GatewayError) -> bool:
    return (
        isinstance(error, UpstreamUnavailableError)
        and live.noted_at is None
        and live.generation.num_responses == 0  # one may have come without a token
        and live.retries < MAX_RETRIES
        and live.outcome is None
    )

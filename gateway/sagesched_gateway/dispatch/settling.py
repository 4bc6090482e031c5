"""`Settling`: what is done about a request that is over: totals, metrics, log, history, recording."""

from __future__ import annotations

import logging
import time
from collections import Counter

from sagesched_gateway.dispatch.live_request import CANCELLED, COMPLETED, LiveRequest
from sagesched_gateway.dispatch.ports import LengthPredictor, Recorder, RequestRecord, Telemetry
from sagesched_gateway.errors import DeadlineUnreachableError, NeverFitsError, OverloadedError
from sagesched_gateway.log_fields import about
from sagesched_predictor.features import Outcome

_LOG = logging.getLogger(__name__)

_REFUSED = frozenset({NeverFitsError.word, DeadlineUnreachableError.word, OverloadedError.word})


class Settling:
    """Of one dispatcher."""

    def __init__(
        self, *, predictor: LengthPredictor, telemetry: Telemetry, recorder: Recorder, counters: Counter[str]
    ) -> None:
        self._predictor = predictor
        self._telemetry = telemetry
        self._recorder = recorder
        self._counters = counters

    def settle(self, live: LiveRequest, ttlt_s: float, policy: str) -> None:
        """Keep the books of a request that is over on both sides, `ttlt_s` seconds after its arrival."""
        outcome = live.outcome or COMPLETED
        self._counters[_counter_of(outcome)] += 1
        self._telemetry.request_finished(outcome, ttlt_s, live.output_tokens)
        self._telemetry.responses_sent(live.generation.num_responses)
        if _LOG.isEnabledFor(logging.DEBUG):
            _log_end(live, outcome, ttlt_s)
        self._observe(live)
        record = _record_of(live, outcome, ttlt_s, policy)
        self._recorder.record(record)
        if live.trace is not None:
            live.trace.end(record, live.generation.predicted)

    def _observe(self, live: LiveRequest) -> None:
        is_known = live.output_tokens > 0 and live.request.counts_tokens
        if live.features is None or not live.features.prompt or not is_known:
            return
        observed = Outcome(output_tokens=live.output_tokens, censored=not live.ended_by_itself)
        self._predictor.observe(live.job_id, live.features, observed)


def _counter_of(outcome: str) -> str:
    if outcome in (COMPLETED, CANCELLED):
        return outcome
    return "rejected" if outcome in _REFUSED else "failed"


def _log_end(live: LiveRequest, outcome: str, ttlt_s: float) -> None:
    fields = about(
        live.request,
        model=live.request.model,
        outcome=outcome,
        output_tokens=live.output_tokens,
        queue_s=live.generation.queue_s,
        ttft_s=live.generation.ttft_s,
        ttlt_s=ttlt_s,
    )
    _LOG.debug("request ended", extra=fields)


def _record_of(live: LiveRequest, outcome: str, ttlt_s: float, policy: str) -> RequestRecord:
    request, generation = live.request, live.generation
    return RequestRecord(
        id=request.client_id,
        model=request.model,
        attributes=live.attributes,
        prompt=live.features.prompt if live.features else request.prompt,
        features=live.features,
        prompt_tokens=live.features.prompt_tokens if live.features else request.prompt_tokens or 0,
        max_tokens=request.max_tokens,
        arrival_unix_s=time.time() - ttlt_s,
        queue_s=generation.queue_s,
        ttft_s=generation.ttft_s,
        ttlt_s=ttlt_s,
        output_tokens=live.output_tokens,
        outcome=outcome,
        policy=policy,
        evictions=live.evictions,
    )

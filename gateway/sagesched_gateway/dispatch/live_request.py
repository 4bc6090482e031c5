"""`LiveRequest`: all that dispatch knows of one request between its arrival and the engine's end of it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from sagesched_gateway.dispatch.generation import Generation
from sagesched_gateway.dispatch.ports import RequestTrace, UpstreamCall
from sagesched_gateway.request import NO_ATTRIBUTES, Attributes, Conversation, GenerationRequest
from sagesched_gateway.scheduling.job import TakeBack
from sagesched_predictor.features import PromptFeatures

COMPLETED = "completed"
CANCELLED = "cancelled"
PROGRESS_TOKENS = 16
"""The core hears of progress each so many tokens: finer than any KV block, coarser than every token."""


@dataclass(slots=True, kw_only=True)
class LiveRequest:
    """One request.

    Attributes:
        request: as read from the caller's message.
        generation: the caller's side; it may have ended while the engine still runs.
        arrival_at: instant of arrival.
        waits_since: instant from which it waits, or waited last.
        attributes: what a trusted caller said about it.
        conversation: the chat that its prompt was rendered from, where the gateway did that.
        features: what the predictor may see; None until its prompt is counted and it is submitted.
        is_predicted: the predictor was asked.
        started_at: instant of the latest start; None while it waits.
        attempts: how often it was sent to the engine.
        retries: how often of these because the engine had refused it.
        evictions: how often of these because it had been taken back.
        is_evicted: it is being taken back: whatever still comes of it is discarded.
        call: the running call; None while it waits.
        noted_tokens: output tokens at which the books were last kept.
        noted_at: instant of that; None before the first token.
        outcome: `completed`, `cancelled` or an error's word, once known.
        deadline_at: instant by which the caller wants the last token; None for none.
        deadline: timer for it.
        trace: where it is traced.
    """

    request: GenerationRequest
    generation: Generation
    arrival_at: float
    waits_since: float
    attributes: Attributes = NO_ATTRIBUTES
    conversation: Conversation | None = None
    features: PromptFeatures | None = None
    is_predicted: bool = False
    started_at: float | None = None
    attempts: int = 0
    retries: int = 0
    evictions: int = 0
    is_evicted: bool = False
    call: UpstreamCall | None = None
    noted_tokens: int = 0
    noted_at: float | None = None
    outcome: str | None = None
    deadline_at: float | None = None
    deadline: asyncio.TimerHandle | None = None
    trace: RequestTrace | None = None

    def wait_again(self, now: float) -> None:
        """It is out of the engine and begins anew later; its caller has seen nothing of it."""
        self.waits_since = now
        self.started_at = None
        self.call = None
        self.is_evicted = False
        self.noted_tokens = 0
        self.noted_at = None
        self.generation.output_tokens = 0

    @property
    def ended_by_itself(self) -> bool:
        """Whether its answer, now that it is over, is as long as it would have been without cap or cancel."""
        return self.outcome in (None, COMPLETED) and self.output_tokens < self.request.max_tokens

    @property
    def take_back(self) -> TakeBack:
        """When it may be taken back out of the engine."""
        if not self.request.can_be_cancelled:
            return TakeBack.NEVER
        return TakeBack.BEFORE_FIRST_TOKEN if self.request.streams else TakeBack.ALWAYS

    @property
    def output_tokens(self) -> int:
        """Tokens the engine has produced, also those the caller no longer sees."""
        return self.generation.output_tokens

    @property
    def job_id(self) -> str:
        """The core's name of it, which is its id towards Triton."""
        return self.request.upstream_id

"""What a live gateway hears of an engine, for `capacity_virtual.py`: chunks that come late, with tokens or text.

Messages come in order, each a little late. Progress is told by the pump's own threshold, seconds per token come
from the gaps between a stream's chunks, and where the model counts no tokens (the LLM API) they are told from
the emulated answer's text, as `ChunkSize` does it.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from functools import partial

from sagesched_emulator.iteration import Emission
from sagesched_emulator.tokenizer import EmulatorTokenizer
from sagesched_emulator.trace import TraceRequest
from sagesched_emulator.triton_model.answer_text import AnswerText
from sagesched_gateway.dispatch.live_request import PROGRESS_TOKENS
from sagesched_gateway.scheduling.events import Event, Finished, FirstToken, Progressed
from sagesched_gateway.triton.profiles.chunk_size import ChunkCount, ChunkSize
from sagesched_replay.virtual_time import VirtualTime

LATE_S = 0.0007
"""Mean lateness of a message, seconds: what a quiet machine adds to the hop."""


class ChunkTexts:
    """The text that an emulated model answers with."""

    def __init__(self) -> None:
        self._tokenizer = EmulatorTokenizer()
        self._text = AnswerText(self._tokenizer)

    def of(self, request: TraceRequest, begin: int, end: int) -> str:
        """Of so many tokens of the answer."""
        return self._tokenizer.decode(
            self._text.tokens(self._text.offset(request.prompt), begin, end).tolist()
        )


class Hearing:
    """Between the engine and the scheduler of one gateway."""

    def __init__(
        self,
        time: VirtualTime,
        hop_s: float,
        *,
        counts_by_text: bool,
        tell: Callable[[Event], None],
        saw_gaps: Callable[[float, int], None],
    ) -> None:
        """Prepare.

        Args:
            time: the clock.
            hop_s: the way from the engine, seconds.
            counts_by_text: the model counts no tokens.
            tell: hears of first tokens, progress and ends.
            saw_gaps: hears of the seconds in which a stream brought so many tokens.
        """
        self._time = time
        self._hop_s = hop_s
        self._tell = tell
        self._saw_gaps = saw_gaps
        self._chance = random.Random(0)
        self._latest_at = 0.0
        self._texts = ChunkTexts() if counts_by_text else None
        self._size = ChunkSize()
        self._counts: dict[str, ChunkCount | None] = {}
        self._tokens: dict[str, int] = {}
        self._noted: dict[str, tuple[int, float]] = {}

    def sent(self, emissions: Sequence[Emission], then: Callable[[Emission], None]) -> None:
        """The engine has sent these; `then` is called for each when it is here."""
        for emission in emissions:
            at = self._time.now + self._hop_s + self._chance.expovariate(1 / LATE_S)
            self._latest_at = max(at, self._latest_at)
            self._time.at(self._latest_at, partial(then, emission))

    def here(self, emission: Emission, request: TraceRequest) -> None:
        """Count one and tell of it."""
        now, job_id = self._time.now, request.id
        tokens = self._tokens.get(job_id, 0) + self._new_tokens(emission, request)
        self._tokens[job_id] = tokens
        if job_id not in self._noted:
            self._noted[job_id] = tokens, now
            self._tell(FirstToken(job_id=job_id))
        elif tokens >= self._noted[job_id][0] + PROGRESS_TOKENS:
            noted, at = self._noted[job_id]
            self._saw_gaps(now - at, tokens - noted)
            self._noted[job_id] = tokens, now
            self._tell(Progressed(job_id=job_id, output_tokens=tokens))
        if emission.final:
            self._tell(Finished(job_id=job_id, output_tokens=tokens))

    def _new_tokens(self, emission: Emission, request: TraceRequest) -> int:
        if self._texts is None:
            return emission.new_tokens
        if request.id not in self._counts:
            is_looked_at = self._size.wants_to_see()
            self._counts[request.id] = (
                ChunkCount(self._size, request.max_tokens, None) if is_looked_at else None
            )
        count = self._counts[request.id]
        if count is None:
            return 1
        begin = emission.total_tokens - emission.new_tokens
        new_tokens = count.of(self._texts.of(request, begin, emission.total_tokens), final=emission.final)
        if count.is_settled:
            self._counts[request.id] = None
        return new_tokens

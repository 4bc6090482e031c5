"""`by-prompt-tokens`: lengths of the latest answers to prompts of about the same size.

For traces without text. It is what anybody can know who counts: no similarity of prompts, no training. Sizes
are taken by octaves of prompt tokens; an octave with few answers so far says what all answers say.
"""

from __future__ import annotations

from collections import defaultdict, deque

from sagesched_emulator.trace import TraceRequest
from sagesched_predictor import LengthDistribution

REMEMBERED = 2000
FEWEST = 20
REFRESH_EVERY = 50
"""A distribution is made anew after so many more answers."""


class _Answers:
    """Latest lengths of one kind of prompt."""

    def __init__(self) -> None:
        self._lengths: deque[int] = deque(maxlen=REMEMBERED)
        self._since = 0
        self._made: LengthDistribution | None = None

    def add(self, tokens: int) -> bool:
        """Note one; returns whether the distribution is another now."""
        self._lengths.append(tokens)
        self._since += 1
        if len(self._lengths) < FEWEST or (self._made is not None and self._since < REFRESH_EVERY):
            return False
        self._made, self._since = LengthDistribution.from_samples(list(self._lengths)), 0
        return True

    @property
    def distribution(self) -> LengthDistribution | None:
        """Of the lengths; None while there are few."""
        return self._made


class ByPromptTokens:
    """A source of predictions, see `Knowledge`."""

    def __init__(self) -> None:
        """Know nothing yet."""
        self._octaves: defaultdict[int, _Answers] = defaultdict(_Answers)
        self._all = _Answers()

    def pool(self) -> LengthDistribution | None:
        """Nothing before the first answers."""
        return None

    def predict(self, request: TraceRequest) -> LengthDistribution | None:
        """Of answers to prompts of about this size; of all answers where those are few."""
        return self._octaves[request.prompt_tokens.bit_length()].distribution or self._all.distribution

    def observe(self, request: TraceRequest) -> LengthDistribution | None:
        """Note an answer; returns that of all answers where it has changed."""
        self._octaves[request.prompt_tokens.bit_length()].add(request.output_tokens)
        return self._all.distribution if self._all.add(request.output_tokens) else None

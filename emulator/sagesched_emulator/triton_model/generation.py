"""`Generation`: one request inside the engine model, between its tensors and the engine's emissions.

What comes out follows TensorRT-LLM's executor. Streaming: each response holds the tokens since the previous
one and never the prompt. Otherwise one response at the end, with the prompt in front unless
`exclude_input_in_output`. PURE: knows numbers and token ids, not Triton.
"""

from __future__ import annotations

import codecs
from dataclasses import dataclass, field

import numpy as np

from sagesched_emulator.iteration import Emission
from sagesched_emulator.triton_model.answer_text import AnswerText, IntArray


class InvalidTensorError(ValueError):
    """The request's tensors are not acceptable; the message goes to the client."""


@dataclass(slots=True, kw_only=True)
class GenerationTensors:
    """A request's inputs as the engine model reads them.

    Attributes:
        prompt_ids: token ids of the prompt.
        max_tokens: cap on output tokens.
        min_tokens: the answer is at least so long, if max_tokens allows.
        streaming: one response per emission instead of one at the end.
        exclude_prompt: leave the prompt out of a single response.
        return_num_input_tokens: answer with num_input_tokens.
        return_num_output_tokens: answer with num_output_tokens, counted per response.
        return_perf_metrics: answer with instants and block counts.
        return_finish_reason: answer with why it ended.
    """

    prompt_ids: IntArray
    max_tokens: int
    min_tokens: int = 0
    streaming: bool = False
    exclude_prompt: bool = False
    return_num_input_tokens: bool = False
    return_num_output_tokens: bool = False
    return_perf_metrics: bool = False
    return_finish_reason: bool = False


@dataclass(slots=True, kw_only=True)
class Generation:
    """A request that the engine has.

    The models that answer in text read `text`, whose characters are whole.

    Attributes:
        order: place in the order of submission.
        client_id: the id that the client gave, perhaps empty.
        tensors: its inputs.
        prompt_tokens: prompt length as the engine reckons.
        text_offset: where its answer begins in `AnswerText`.
        submitted_at: engine seconds.
        first_scheduled_at: engine seconds; None while it waits.
        queue_iterations: iterations waited; None while it waits.
        first_token_at: engine seconds; None before.
        output_tokens: generated so far.
        text: of the tokens so far, where `take_text` was called for them; half a character waits.
    """

    order: int
    client_id: str
    tensors: GenerationTensors
    prompt_tokens: int
    text_offset: int
    submitted_at: float
    first_scheduled_at: float | None = None
    queue_iterations: int | None = None
    first_token_at: float | None = None
    output_tokens: int = field(default=0)
    text: str = ""
    _characters: codecs.IncrementalDecoder = field(
        default_factory=lambda: codecs.getincrementaldecoder("utf-8")("replace")
    )

    def take_text(self, new: bytes, *, final: bool) -> str:
        """Add the bytes of new tokens to `text`; returns the characters that are whole now."""
        piece = self._characters.decode(new, final)
        self.text += piece
        return piece

    def output_ids(self, emission: Emission, text: AnswerText) -> IntArray | None:
        """Token ids of the response that the emission calls for; None when it calls for none."""
        sent, self.output_tokens = self.output_tokens, emission.total_tokens
        if self.tensors.streaming:
            return text.tokens(self.text_offset, sent, emission.total_tokens)
        if not emission.final:
            return None
        answer = text.tokens(self.text_offset, 0, emission.total_tokens)
        if self.tensors.exclude_prompt:
            return answer
        return np.concatenate([self.tensors.prompt_ids, answer])

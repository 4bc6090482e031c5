"""What passes between the faces, dispatch and Triton: `GenerationRequest` in, `Chunk` out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from sagesched_gateway.errors import GatewayError, InvalidRequestError
from sagesched_gateway.kserve import ModelInferResponse

Metadata = tuple[tuple[str, str | bytes], ...]
"""gRPC metadata or HTTP headers of the caller that Triton may want to see."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attributes:
    """What a trusted caller says about a request besides its content.

    Attributes:
        tenant: on whose behalf; empty where not told.
        priority: higher is more important, 0 is normal.
        deadline_s: seconds from arrival until the whole answer is wanted; None for no limit.
        wants_report: tell queue time (and prediction, where allowed) in the parameters of the first response.
    """

    tenant: str = ""
    priority: int = 0
    deadline_s: float | None = None
    wants_report: bool = False


NO_ATTRIBUTES = Attributes()


@dataclass(slots=True, kw_only=True)
class GenerationRequest:
    """One generation, read once from the caller's message and ready to be sent.

    Attributes:
        upstream_id: the gateway's own id, unique; replaces the caller's id towards Triton.
        client_id: the caller's id, put back on every response.
        model: name of the model as the caller named it.
        prompt: the prompt's text; empty where the caller sent tokens only.
        prompt_tokens: length of the prompt where the caller's message tells, else None.
        max_tokens: the caller's cap on output tokens, >= 1.
        body: what goes to Triton, a serialized ModelInferRequest.
        counts_tokens: its chunks tell how many tokens they bring.
        counts_text: its tokens are counted from its text.
        echoes_prompt: the answer repeats the prompt, and the engine counts it among the output tokens.
        streams: the caller wants the answer in pieces, as they come.
        can_be_cancelled: closing or stopping it really ends it in the engine.
        hidden_outputs: output tensors that only the gateway asked for; stripped from responses.
        wants_empty_final: the caller opted in to a final response without outputs.
        metadata: passed on to Triton.
        temperature: that the caller asks for; 0 is greedy; None where the message does not tell.
        top_p: as temperature.
        wants_json: the answer must follow a schema or grammar.
    """

    upstream_id: str
    client_id: str
    model: str
    prompt: str
    prompt_tokens: int | None
    max_tokens: int
    body: bytes
    counts_tokens: bool = True
    counts_text: bool = False
    echoes_prompt: bool = False
    streams: bool = False
    can_be_cancelled: bool = True
    hidden_outputs: frozenset[str] = frozenset()
    wants_empty_final: bool = False
    metadata: Metadata = ()
    temperature: float | None = None
    top_p: float | None = None
    wants_json: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversation:
    """The chat that a prompt was rendered from.

    Attributes:
        system_prompt: what the assistant was told to be.
        text: the rest: what was said so far.
    """

    system_prompt: str = ""
    text: str = ""


class Chunk(NamedTuple):
    """One message from Triton, translated; a tuple, since one is made for every token.

    Attributes:
        response: what the caller must see, or None where there is nothing to show; as bytes it is a whole
            ModelStreamInferResponse.
        new_tokens: output tokens this message brought; of the last one below 0 where they are told from text
            and more were counted before.
        final: the engine has ended the request; its place is free.
        error: why it ended badly; then `response` is None and `final` True.
        input_tokens: the engine's own count of the prompt, where it told.
    """

    response: ModelInferResponse | bytes | None
    new_tokens: int = 0
    final: bool = False
    error: GatewayError | None = None
    input_tokens: int | None = None


class StopOrderError(InvalidRequestError):
    """The message generates nothing: it asks to stop an earlier request of the same id.

    Raised where such a message is read; the dispatcher stops what it means, and the face then passes the
    message on as it is, so that Triton itself answers it.

    Attributes:
        client_id: id of the request to stop.
    """

    def __init__(self, client_id: str) -> None:
        super().__init__("a stop request generates nothing")
        self.client_id = client_id


class MissingInputError(InvalidRequestError):
    """The message lacks an input that its model requires.

    Not left to Triton, which only counts inputs: where others make up the number, an ensemble waits for the
    missing one and never answers.
    """

    def __init__(self, name: str) -> None:
        super().__init__(f"input '{name}' is missing", field=name)


class OutOfReachError(InvalidRequestError):
    """An input lies in shared memory: Triton can read it, the gateway cannot."""

    def __init__(self, name: str) -> None:
        super().__init__(f"input '{name}' lies in shared memory, which the gateway cannot read")

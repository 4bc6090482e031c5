"""`POST /v1/completions`: from its body to what is asked. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from sagesched_gateway.api.openai.fields import Fields
from sagesched_gateway.api.openai.sampling import MOST_TOKENS, read_sampling, wants_usage
from sagesched_gateway.text import Sampling

MOST_PROMPTS = 128
_MOST_LOGPROBS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class CompletionRequest:
    """A request, checked.

    Attributes:
        model: as the caller names it.
        prompts: one answer for each.
        sampling: for each of them.
        include_usage: end a stream with the token counts.
    """

    model: str
    prompts: tuple[str, ...]
    sampling: Sampling
    include_usage: bool


def read_completion(fields: Fields, *, default_max_tokens: int) -> CompletionRequest:
    """Read a request.

    Raises:
        InvalidRequestError: a field has a wrong type or is out of range.
        UnsupportedError: a field asks for what is not served.
    """
    fields.refuse_unless_idle({"suffix": (), "echo": (False,), "best_of": (1,), "prompt_embeds": ()})
    return CompletionRequest(
        model=fields.text("model"),
        prompts=_prompts(fields),
        sampling=read_sampling(
            fields,
            max_tokens=fields.whole("max_tokens", 1, MOST_TOKENS) or default_max_tokens,
            logprobs=fields.whole("logprobs", 0, _MOST_LOGPROBS) is not None,
        ),
        include_usage=wants_usage(fields),
    )


def _prompts(fields: Fields) -> tuple[str, ...]:
    raw = fields.get("prompt")
    if not isinstance(raw, list):
        return (fields.text("prompt"),)
    if not raw:
        raise fields.refused("prompt", "must not be an empty list")
    if any(isinstance(item, int | list) and not isinstance(item, bool) for item in raw):
        raise fields.unsupported("prompt", "is served as text only; token ids are not")
    if len(raw) > MOST_PROMPTS:
        raise fields.refused("prompt", f"may hold {MOST_PROMPTS} prompts at most, not {len(raw)}")
    listed = Fields({f"{place}": item for place, item in enumerate(raw)}, "prompt")
    return tuple(listed.text(str(place)) for place in range(len(raw)))

"""What completions and chats have in common: how the answer is to be drawn and delivered. Pure.

Three kinds of fields: those served, those known to OpenAI or to other servers but not served (refused when
they ask for something, because an answer that silently ignores them is a wrong answer), and the rest, which
is ignored.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from sagesched_gateway.api.json_form.tensors import Json
from sagesched_gateway.api.openai.fields import Fields
from sagesched_gateway.errors import InvalidRequestError
from sagesched_gateway.text import Sampling

MOST_TOKENS = 2**31 - 1
"""Engines take the cap as INT32."""

MOST_STOPS = 4
MOST_ANSWERS = 128
_PENALTY = 2.0
_SEEDS = range(-(2**63), 2**63)
_ANY_JSON = {"type": "object"}

NOT_SERVED: dict[str, Sequence[Json]] = {
    # OpenAI's
    "logit_bias": (),
    "store": (False,),
    "service_tier": ("auto", "default"),
    # other servers'
    "min_p": (0, 0.0),
    "min_tokens": (0,),
    "ignore_eos": (False,),
    "repetition_penalty": (1, 1.0),
    "length_penalty": (1, 1.0),
    "use_beam_search": (False,),
    "bad_words": (),
    "allowed_token_ids": (),
    "stop_token_ids": (),
    "include_stop_str_in_output": (False,),
    "truncate_prompt_tokens": (),
    "prompt_logprobs": (),
    "guided_json": (),
    "guided_regex": (),
    "guided_choice": (),
    "guided_grammar": (),
    "structured_outputs": (),
    "lora_request": (),
}
"""By name, the values that ask for nothing; see `Fields.refuse_unless_idle`."""


def read_sampling(fields: Fields, *, max_tokens: int, logprobs: bool) -> Sampling:
    """The fields that both endpoints share.

    Args:
        fields: the request.
        max_tokens: as read, or the default.
        logprobs: as read: the endpoints differ in it.

    Raises:
        InvalidRequestError: a field has a wrong type or is out of range.
        UnsupportedError: a field asks for what is not served.
    """
    fields.refuse_unless_idle(NOT_SERVED)
    top_k = fields.whole("top_k", -1, MOST_TOKENS)
    return Sampling(
        max_tokens=max_tokens,
        stream=fields.flag("stream"),
        temperature=fields.number("temperature", 0.0, 2.0),
        top_p=fields.number("top_p", 0.0, 1.0),
        top_k=top_k if top_k is not None and top_k > 0 else None,  # 0 and -1: off
        stop=fields.texts("stop", most=MOST_STOPS),
        seed=fields.whole("seed", _SEEDS.start, _SEEDS.stop - 1),
        presence_penalty=fields.number("presence_penalty", -_PENALTY, _PENALTY),
        frequency_penalty=fields.number("frequency_penalty", -_PENALTY, _PENALTY),
        n=fields.whole("n", 1, MOST_ANSWERS) or 1,
        logprobs=logprobs,
        json_schema=_json_schema(fields),
    )


def wants_usage(fields: Fields) -> bool:
    """Whether a stream is to end with the token counts.

    Raises:
        InvalidRequestError: stream options without a stream.
    """
    raw = fields.get("stream_options")
    if raw is None:
        return False
    if not fields.flag("stream"):
        raise InvalidRequestError(
            "'stream_options' may only be given together with 'stream': true", field="stream_options"
        )
    options = Fields(raw, "stream_options")
    options.refuse_unless_idle({"continuous_usage_stats": (False,)})
    return options.flag("include_usage")


def _json_schema(fields: Fields) -> str | None:
    raw = fields.get("response_format")
    if raw is None:
        return None
    wanted = Fields(raw, "response_format")
    kind = wanted.text("type")
    match kind:
        case "text":
            return None
        case "json_object":
            schema = _ANY_JSON
        case "json_schema":
            described = Fields(wanted.get("json_schema"), wanted.path("json_schema"))
            schema = described.get("schema")
            if not isinstance(schema, dict):
                raise described.refused("schema", "must be a JSON schema")
        case _:
            raise wanted.refused("type", "must be text, json_object or json_schema")
    try:
        text = json.dumps(schema, ensure_ascii=False, allow_nan=False)
        text.encode()
    except ValueError:
        raise wanted.refused("json_schema", "holds NaN, Infinity or half a surrogate pair") from None
    return text

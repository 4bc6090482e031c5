"""What is known of a request before its answer (`PromptFeatures`) and after it (`Outcome`)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptFeatures:
    """A request as the predictor may see it.

    Attributes:
        prompt: the prompt's text.
        prompt_tokens: length of the prompt in the served model's tokens.
        max_tokens: the caller's cap on output tokens; 0 when unknown.
        model: name of the served model; records of different models are never mixed.
        temperature: sampling temperature that the caller asked for; None when unset.
        top_p: nucleus sampling share that the caller asked for; None when unset.
        system_prompt: text of the system message; empty where there is none or it is part of `prompt`.
        has_tools: the request offers tools to call.
        wants_json: the request asks for JSON or another fixed grammar.
        thinking: the request asks for visible reasoning before the answer.
        tenant: on whose behalf, where what is learned of one tenant must not serve another; else empty.
    """

    prompt: str
    prompt_tokens: int
    max_tokens: int = 0
    model: str = ""
    temperature: float | None = None
    top_p: float | None = None
    system_prompt: str = ""
    has_tools: bool = False
    wants_json: bool = False
    thinking: bool = False
    tenant: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What happened to a request.

    Attributes:
        output_tokens: tokens generated, as the engine counts them.
        censored: True when generation was cut off (max_tokens reached, cancelled, failed), so that the
            natural length is only known to be at least `output_tokens`.
    """

    output_tokens: int
    censored: bool

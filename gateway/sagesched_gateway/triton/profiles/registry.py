"""Which profile a model gets, judged by its tensors and not by its name: sites rename their models."""

from __future__ import annotations

from sagesched_gateway.triton.profiles.base import ModelDescription, Profile
from sagesched_gateway.triton.profiles.inflight_batcher import TextProfile, TokenProfile

_TEXT_INPUTS = frozenset({"text_input", "max_tokens"})
_TOKEN_INPUTS = frozenset({"input_ids", "input_lengths", "request_output_len"})


def is_engine(description: ModelDescription) -> bool:
    """Whether the model is a `tensorrt_llm` engine: token ids in, stoppable by id."""
    return description.inputs >= _TOKEN_INPUTS


def choose_profile(
    description: ModelDescription, engine_model: str | None, *, counts_prompts: bool = True
) -> Profile | None:
    """The profile of a model, or None for a model that passes through untouched.

    Args:
        description: the model.
        engine_model: the `tensorrt_llm` model of the same repository, for cancelling through an ensemble.
        counts_prompts: ask for the engine's count of prompts.
    """
    if description.inputs >= _TEXT_INPUTS and description.config.config.platform == "ensemble":
        return TextProfile(description, engine_model, counts_prompts=counts_prompts)
    if is_engine(description):
        return TokenProfile(description)
    return None

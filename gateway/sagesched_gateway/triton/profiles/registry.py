"""Which profile a model gets: judged by its tensors and not by its name, since sites rename their models.

The setting `profiles` overrules that per model. A model that fits nothing passes through untouched.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from sagesched_gateway.tokenizer import ModelTokenizer
from sagesched_gateway.triton.profiles.base import ModelDescription, Profile
from sagesched_gateway.triton.profiles.inflight_batcher import (
    ACCUMULATE_TOKENS,
    BlsProfile,
    TextProfile,
    TokenProfile,
)
from sagesched_gateway.triton.profiles.llmapi import MAX_TOKENS, LlmApiProfile
from sagesched_gateway.triton.profiles.vllm import SAMPLING, VllmProfile

_LOG = logging.getLogger(__name__)

AUTO = "auto"
NONE = "none"
TOKEN_INPUTS = frozenset({"input_ids", "input_lengths", "request_output_len"})
TEXT_INPUTS = frozenset({"text_input", "max_tokens"})
LLMAPI_INPUTS = frozenset({"text_input", MAX_TOKENS})
VLLM_INPUTS = frozenset({"text_input", SAMPLING})
_BLS_PARAMETERS = (ACCUMULATE_TOKENS, "tensorrt_llm_model_name")


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfileChoice:
    """What the settings say about profiles.

    Attributes:
        overrides: profile names by model.
        tokenizer: of the served model.
        counts_prompts: ask for the engine's count of prompts, to learn from.
    """

    overrides: Mapping[str, str] = field(default_factory=dict)
    tokenizer: ModelTokenizer | None = None
    counts_prompts: bool = True

    def kind(self, description: ModelDescription) -> str:
        """Name of the profile that the model gets: by the settings, else by its tensors."""
        wanted = self.overrides.get(description.name, AUTO)
        if wanted == NONE:
            return NONE
        if wanted == AUTO:
            return next((kind for kind, fits in _KINDS.items() if fits(description)), NONE)
        needed = _NEEDED[wanted]
        if any(inputs <= description.inputs for inputs in needed):
            return wanted
        forms = " or ".join(", ".join(sorted(inputs)) for inputs in needed)
        _LOG.warning(
            "profiles.%s: %s needs inputs that the model does not have (%s); its requests pass through",
            *(description.name, wanted, forms),
        )
        return NONE


def is_engine(description: ModelDescription) -> bool:
    """Whether the model is a `tensorrt_llm` engine: token ids in, stoppable by id."""
    return description.inputs >= TOKEN_INPUTS


def choose_profile(
    description: ModelDescription, engine_model: str | None, choice: ProfileChoice
) -> Profile | None:
    """The profile of a model, or None for a model that passes through untouched.

    Args:
        description: the model.
        engine_model: the `tensorrt_llm` model of the same repository, for cancelling through an ensemble.
        choice: what the settings say.
    """
    tokenizer, counts_prompts = choice.tokenizer, choice.counts_prompts
    match choice.kind(description):
        case LlmApiProfile.name:
            return LlmApiProfile(description, tokenizer)
        case VllmProfile.name:
            return VllmProfile(description, counts_prompts=counts_prompts, tokenizer=tokenizer)
        case TextProfile.name if is_engine(description):
            return TokenProfile(description, tokenizer)
        case TextProfile.name if description.is_ensemble:
            return TextProfile(description, engine_model, counts_prompts=counts_prompts, tokenizer=tokenizer)
        case TextProfile.name:
            return BlsProfile(description, counts_prompts=counts_prompts, tokenizer=tokenizer)
    return None


def _is_classic(description: ModelDescription) -> bool:
    if is_engine(description):
        return True
    is_bls = any(description.has_parameter(name) for name in _BLS_PARAMETERS)
    return description.inputs >= TEXT_INPUTS and (description.is_ensemble or is_bls)


_KINDS: dict[str, Callable[[ModelDescription], bool]] = {
    TextProfile.name: _is_classic,
    LlmApiProfile.name: lambda description: description.inputs >= LLMAPI_INPUTS,
    VllmProfile.name: lambda description: description.inputs >= VLLM_INPUTS,
}
_NEEDED = {
    TextProfile.name: (TEXT_INPUTS, TOKEN_INPUTS),
    LlmApiProfile.name: (LLMAPI_INPUTS,),
    VllmProfile.name: (VLLM_INPUTS,),
}

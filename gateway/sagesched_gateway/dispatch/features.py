"""What the predictor may see of a request."""

from __future__ import annotations

from sagesched_gateway.request import Conversation, GenerationRequest
from sagesched_predictor.features import PromptFeatures

# How chat templates show that tools are offered, and that reasoning is to come first.
_TOOLS = ("<tools>", "[AVAILABLE_TOOLS]")
_THINKING_ENDS = ("<think>",)
# Templates put the tools near the front, before the conversation.
_FRONT_CHARACTERS = 20_000


def features_of(
    request: GenerationRequest,
    prompt_tokens: int,
    *,
    tenant: str = "",
    conversation: Conversation | None = None,
) -> PromptFeatures:
    """Features of one request.

    Args:
        request: as read.
        prompt_tokens: its length as counted.
        tenant: whose history it belongs to; empty where tenants share one.
        conversation: the chat that the prompt was rendered from, where the gateway did that.
    """
    text, system_prompt = request.prompt, ""
    if conversation is not None and conversation.text:
        text, system_prompt = conversation.text, conversation.system_prompt
    front = request.prompt[:_FRONT_CHARACTERS]
    return PromptFeatures(
        prompt=text,
        prompt_tokens=prompt_tokens,
        max_tokens=request.max_tokens,
        model=request.model,
        temperature=request.temperature,
        top_p=request.top_p,
        system_prompt=system_prompt,
        has_tools=any(mark in front for mark in _TOOLS),
        wants_json=request.wants_json,
        thinking=request.prompt[-32:].rstrip().endswith(_THINKING_ENDS),
        tenant=tenant,
    )

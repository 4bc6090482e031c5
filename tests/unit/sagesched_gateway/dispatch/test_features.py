from __future__ import annotations

import pytest

from sagesched_gateway.dispatch.features import features_of
from sagesched_gateway.request import Conversation, GenerationRequest


def a_request(prompt: str, **more: object) -> GenerationRequest:
    return GenerationRequest(
        upstream_id="u",
        client_id="c",
        model="m",
        prompt=prompt,
        prompt_tokens=None,
        max_tokens=9,
        body=b"",
        **more,  # type: ignore[arg-type]
    )


def test_all_that_is_known_is_handed_over() -> None:
    request = a_request("hi", temperature=0.5, top_p=0.9, wants_json=True)
    features = features_of(request, 7, tenant="acme")
    assert (features.prompt, features.prompt_tokens, features.max_tokens) == ("hi", 7, 9)
    assert (features.temperature, features.top_p, features.wants_json) == (0.5, 0.9, True)
    assert (features.model, features.tenant) == ("m", "acme")


def test_of_a_chat_it_is_what_was_said() -> None:
    chat = Conversation(system_prompt="Be brief.", text="Why?")
    features = features_of(a_request("<sys>Be brief.<user>Why?<assistant>"), 7, conversation=chat)
    assert (features.prompt, features.system_prompt) == ("Why?", "Be brief.")
    empty = Conversation(system_prompt="Be brief.")
    assert features_of(a_request("<sys>Be brief."), 7, conversation=empty).prompt == "<sys>Be brief."


@pytest.mark.parametrize(
    ("prompt", "has_tools", "thinking"),
    [
        ("hi", False, False),
        ("<sys># Tools <tools>{}</tools><user>hi", True, False),
        ("<user>hi<assistant><think>\n", False, True),
        ("What is <think>? Tell me in one sentence, and give examples.", False, False),
        ("x" * 200_000, False, False),
        ("", False, False),
    ],
    ids=lambda value: str(value)[:12],
)
def test_what_templates_show(prompt: str, has_tools: bool, thinking: bool) -> None:
    features = features_of(a_request(prompt), 7)
    assert (features.has_tools, features.thinking) == (has_tools, thinking)

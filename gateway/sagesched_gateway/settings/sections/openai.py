"""The OpenAI face."""

from __future__ import annotations

from dataclasses import dataclass, field

from sagesched_gateway.settings.section import Section, key_of


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenAIConfig:
    """The OpenAI face, `/v1`.

    Attributes:
        served_name: name of the model for OpenAI clients; None takes the model's own.
        model: the Triton model behind it; None takes the one text model there is.
        chat_template: file with a Jinja chat template; None takes the one beside the tokenizer.
        default_max_tokens: cap on output tokens where the caller names none.
    """

    served_name: str | None = field(default=None, metadata=key_of("servedName"))
    model: str | None = None
    chat_template: str | None = field(default=None, metadata=key_of("chatTemplate"))
    default_max_tokens: int = field(default=1024, metadata=key_of("defaultMaxTokens"))


def read(section: Section) -> OpenAIConfig:
    """Read `openai`."""
    return OpenAIConfig(
        served_name=section.name_of("servedName"),
        model=section.name_of("model"),
        chat_template=section.path_of("chatTemplate"),
        default_max_tokens=section.whole("defaultMaxTokens", OpenAIConfig().default_max_tokens, least=1),
    )

"""One training example: a prompt, who answered it, and how long the answers were."""

from __future__ import annotations

from dataclasses import dataclass

from sagesched_predictor.features import PromptFeatures

# For a prompt whose tokens nobody counted.
CHARACTERS_PER_TOKEN = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingExample:
    """Answers of one model to one prompt.

    Attributes:
        prompt: the text.
        dataset: where it comes from.
        model: who answered.
        lengths: output tokens of each answer, >= 1, none above `cap`.
        cap: answers of this length were cut off there; 0 where there was no cap.
        prompt_tokens: None when not counted.
        max_tokens: the cap that the caller asked for and a gateway would have seen; 0 when unknown. A
            publisher's own cap on a whole set is none of these.
        temperature: None when unset.
        top_p: None when unset.
        system_prompt: empty when there was none.
        has_tools: tools were offered.
        wants_json: JSON was asked for.
        thinking: visible reasoning was asked for.
        censored: all answers were cut off where they ended.
    """

    prompt: str
    dataset: str
    model: str
    lengths: tuple[int, ...]
    cap: int = 0
    prompt_tokens: int | None = None
    max_tokens: int = 0
    temperature: float | None = None
    top_p: float | None = None
    system_prompt: str = ""
    has_tools: bool = False
    wants_json: bool = False
    thinking: bool = False
    censored: bool = False

    def is_cut(self, length: int) -> bool:
        """Whether an answer of this length was cut off there."""
        return self.censored or bool(self.cap and length >= self.cap)

    def features(self) -> PromptFeatures:
        """What a gateway would have known of the request."""
        tokens = self.prompt_tokens
        return PromptFeatures(
            prompt=self.prompt,
            prompt_tokens=tokens if tokens is not None else -(-len(self.prompt) // CHARACTERS_PER_TOKEN),
            max_tokens=self.max_tokens,
            model=self.model,
            temperature=self.temperature,
            top_p=self.top_p,
            system_prompt=self.system_prompt,
            has_tools=self.has_tools,
            wants_json=self.wants_json,
            thinking=self.thinking,
        )

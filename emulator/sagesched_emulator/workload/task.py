"""`Task`: one kind of request, its wording, its subjects, and how often it occurs."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One kind of request.

    Attributes:
        name: key of its numbers in `fitted.FITTED`.
        share: how often it occurs, relative to the others.
        phrasings: ways to ask, each with one `{subject}`.
        subjects: what is asked for; some take longer answers than others, always the same ones.
        kind: kind of the text that the prompt is about; None for prompts without one.
        cues: which words ask for a short or a long answer, a key of `CUES`.
    """

    name: str
    share: float
    phrasings: tuple[str, ...]
    subjects: tuple[str, ...]
    kind: str | None = None
    cues: str = "prose"


CUES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "prose": (
        ("Keep it short.", "One or two sentences are enough.", "Answer briefly."),
        ("Please go into detail.", "Be thorough and give examples.", "I want the long version."),
    ),
    "code": (
        ("Only the code, no explanation.", "Keep the code as short as possible."),
        ("Explain every step.", "Add comments, error handling and an example of its use."),
    ),
}
"""Words that ask for a short and for a long answer, by kind of task."""

"""Numbers that a request shows on its surface, beside the meaning of its text. PURE.

An embedding says what a prompt is about; how long it is, how it is laid out, which cap and which sampling the
caller chose, and words such as "list" or "one sentence" it hardly says at all. Everything here costs a few
microseconds, and is safe for any text.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from sagesched_predictor.features import PromptFeatures

FloatVector = npt.NDArray[np.float32]

# Of a long prompt only so many characters of either end are read: instructions stand there, and a prompt of a
# megabyte must cost no more than one of a page.
HEAD_CHARACTERS = 1200
TAIL_CHARACTERS = 600

# Words by what they ask for. One feature each: the number of hits, damped.
WORD_GROUPS: dict[str, tuple[str, ...]] = {
    "list": ("list", "lists", "ideas", "examples", "steps", "ways", "tips", "items", "bullet", "points"),
    "brief": ("brief", "briefly", "short", "concise", "concisely", "quick", "tldr", "simple", "summary"),
    "long": (
        "detailed",
        "detail",
        "details",
        "essay",
        "comprehensive",
        "thorough",
        "full",
        "complete",
        "long",
    ),
    "explain": ("explain", "describe", "why", "how", "discuss", "compare", "analyze", "elaborate", "guide"),
    "fact": ("who", "when", "where", "which", "whose", "name", "year", "capital", "true", "false"),
    "write": (
        "write",
        "create",
        "generate",
        "compose",
        "draft",
        "story",
        "poem",
        "article",
        "blog",
        "letter",
    ),
    "classify": ("classify", "identify", "categorize", "extract", "choose", "label", "sentiment", "select"),
    "rewrite": ("rewrite", "translate", "edit", "summarize", "paraphrase", "correct", "convert", "fix"),
    "code": (
        "code",
        "function",
        "python",
        "class",
        "def",
        "import",
        "return",
        "script",
        "sql",
        "java",
        "api",
    ),
    "tests": ("assert", "test", "tests", "input", "output", "constraints", "raise", "unit"),
    "maths": ("calculate", "solve", "compute", "equation", "sum", "probability", "integer", "proof", "prove"),
    "one": ("one", "single", "only", "just", "word", "sentence", "number", "answer"),
    "reason": ("step", "think", "reason", "reasoning", "boxed", "carefully"),
    "talk": ("you", "your", "please", "hi", "hello", "thanks", "me", "my", "i"),
}
_GROUP_OF = {word: group for group, words in enumerate(WORD_GROUPS.values()) for word in words}
_WORD = re.compile(r"[^\W\d_]+")

_REQUEST = (
    "log_prompt_tokens",
    "log_max_tokens",
    "has_max_tokens",
    "temperature",
    "has_temperature",
    "top_p",
    "log_system_characters",
    "has_tools",
    "wants_json",
    "thinking",
)
_SURFACE = (
    "log_characters",
    "log_words",
    "log_lines",
    "characters_per_word",
    "distinct_words",
    "digits",
    "capitals",
    "spaces",
    "other_letters",
    "code_fences",
    "question_marks",
    "exclamation_marks",
    "colons",
    "brackets",
    "list_marks",
    "quotes",
    "arithmetic",
    "ends_with_question",
    "ends_with_stop",
    "ends_with_colon",
)
NAMES: tuple[str, ...] = (*_REQUEST, *_SURFACE, *(f"says_{name}" for name in WORD_GROUPS), "first_word")
NUM_FEATURES = len(NAMES)

# Of white space only what stands in the mark's own line, or a run of empty lines would be gone over for each.
_LIST_MARK = re.compile(r"^[^\S\n]*(?:[-*•]|\d{1,2}[.)])\s", re.MULTILINE)
_DIGITS = b"0123456789"
_CAPITALS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ"
# What a gateway does not know counts as the usual.
USUAL_TEMPERATURE = 1.0


def request_vector(features: PromptFeatures) -> FloatVector:
    """The features of a request, float32 (NUM_FEATURES,), in the order of `NAMES`; always finite."""
    return np.array([*_request_numbers(features), *_text_numbers(features.prompt)], dtype=np.float32)


def request_vectors(requests: Sequence[PromptFeatures]) -> npt.NDArray[np.float32]:
    """`request_vector` of each, float32 (len(requests), NUM_FEATURES)."""
    if not requests:
        return np.zeros((0, NUM_FEATURES), dtype=np.float32)
    return np.stack([request_vector(features) for features in requests])


def _request_numbers(features: PromptFeatures) -> list[float]:
    has_cap = features.max_tokens > 0
    has_temperature = features.temperature is not None and math.isfinite(features.temperature)
    temperature = features.temperature if has_temperature else USUAL_TEMPERATURE
    top_p = features.top_p if features.top_p is not None and math.isfinite(features.top_p) else 1.0
    return [
        math.log1p(max(features.prompt_tokens, 0)),
        math.log1p(features.max_tokens) if has_cap else 0.0,
        float(has_cap),
        min(max(temperature or 0.0, 0.0), 2.0),
        float(has_temperature),
        min(max(top_p, 0.0), 1.0),
        math.log1p(len(features.system_prompt)),
        float(features.has_tools),
        float(features.wants_json),
        float(features.thinking),
    ]


def _text_numbers(prompt: str) -> list[float]:
    text = prompt
    if len(prompt) > HEAD_CHARACTERS + TAIL_CHARACTERS:
        text = f"{prompt[:HEAD_CHARACTERS]} {prompt[-TAIL_CHARACTERS:]}"
    words = _WORD.findall(text.lower())
    size, num_words = max(len(text), 1), max(len(words), 1)
    groups = [0] * len(WORD_GROUPS)
    counts = Counter(words)
    for word in _GROUP_OF.keys() & counts.keys():
        groups[_GROUP_OF[word]] += counts[word]
    ascii_text = text.encode("ascii", "ignore")
    last = text.rstrip()[-1:]
    return [
        math.log1p(len(prompt)),
        math.log1p(len(words)),
        math.log1p(text.count("\n")),
        min(size / num_words, 20.0),
        len(counts) / num_words,
        (len(ascii_text) - len(ascii_text.translate(None, _DIGITS))) / size,
        (len(ascii_text) - len(ascii_text.translate(None, _CAPITALS))) / size,
        text.count(" ") / size,
        (len(text) - len(ascii_text)) / size,
        min(text.count("```"), 8) / 2,
        math.log1p(text.count("?")),
        math.log1p(text.count("!")),
        math.log1p(text.count(":")),
        math.log1p(text.count("(") + text.count("[") + text.count("{")),
        math.log1p(len(_LIST_MARK.findall(text))),
        math.log1p(text.count('"') + text.count("'")),
        math.log1p(text.count("=") + text.count("+") + text.count("$") + text.count("\\")),
        float(last in ("?", "？")),
        float(last == "."),
        float(last == ":"),
        *(math.log1p(count) for count in groups),
        float(words[0] in _GROUP_OF) if words else 0.0,
    ]

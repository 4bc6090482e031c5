"""Texts that prompts are about: reports, rules, conversations, rows, tests; as long as a prompt is to be.

Sentences are our own, filled from word lists, so that two texts of one kind are about the same sort of thing
without being equal.
"""

from __future__ import annotations

import numpy as np

from sagesched_emulator.workload.words import fill

SENTENCES: dict[str, tuple[str, ...]] = {
    "report": (
        "On {day} {company} told its {team} team that {number} {thing} were held up at {place} by {reason}.",
        "{person} from {team} asked whether the plan to {action} could wait until {month}.",
        "Costs rose by {number} euros, mostly because of {reason}; the {team} team called that {opinion}.",
        "According to {person}, who visited {place} in {month}, {number} {thing} had already been counted.",
        "The board of {company} agreed to {action} before the end of {month}.",
        "Neighbours of {place} found the decision {opinion}, and {number} of them signed a letter.",
        "{company} and {company} share the storage at {place}, which holds at most {number} {thing}.",
        "A second visit on {day} showed that {reason} had not been the only cause.",
        "{person} kept a list of everybody who had offered to {action}, with dates and phone numbers.",
        "If nothing changes by {month}, the {team} team will {action} and inform {company} in writing.",
        "Last year the same work took {number} days and {number} people, which {person} considers {opinion}.",
        "Nobody at {place} remembers why the {thing} were ordered in {month} and not in {month}.",
    ),
    "conversation": (
        "{person}: Can we still {action} this week? {company} is asking again.",
        "{person}: The last message said {number} {thing}, but I count {number}.",
        "{person}: I was at {place} on {day} and nobody mentioned {reason}.",
        "{person}: That sounds {opinion} to me. Who decides, {team} or {team}?",
        "{person}: Let us wait for {month}; before that we cannot {action} anyway.",
        "{person}: Fine, then I will write to {company} and copy {person}.",
        "{person}: Please keep it simple, they only want to know about the {thing}.",
        "{person}: We had the same trouble with {reason} in {month}, remember?",
    ),
    "rules": (
        "There are {letter} {item} in a row; the i-th of them has the value a[i] (1 <= a[i] <= {number}).",
        "In one move, two neighbouring {item} may be {verb} if their {measure} is at most {number}.",
        "You are given {letter} queries; each names two positions l and r and asks for the {measure}.",
        "No more than {number} of the {item} can be {verb} in the same round.",
        "The {measure} of an empty set of {item} counts as 0, and positions are counted from 1.",
        "After each round, all {item} with an even value are {verb}, and the others stay where they are.",
        "It is guaranteed that {letter} is not larger than {number} and that all values differ.",
        "Print the {measure} modulo {number} on a line of its own, or -1 if it does not exist.",
        "With {number} {item} and the values {number}, {number} and {number} the answer is {number}.",
        "{person} wants to know the smallest {measure} when the {item} are {verb} cleverly.",
    ),
    "rows": (
        "{person},{company},{month},{number},{number}",
        "{person},{company},{day},{number},",
        "{company},{thing},{month},{number},{number}",
    ),
    "tests": (
        "assert solve([{number}, {number}, {number}]) == {number}",
        "assert solve([{number}, {number}], {number}) == [{number}, {number}]",
        "assert solve('{item}', '{item}') == {number}",
        "assert solve([], {number}) == []",
    ),
    "requirements": (
        "It takes a path and the number of {item} to read, {number} unless told otherwise.",
        "It returns the {measure} of the {item} as a float, rounded to two digits.",
        "It raises ValueError when there are no {item} or the {measure} cannot be computed.",
        "The {item} are {verb} before the {measure} is taken, and the input stays unchanged.",
        "Use only pandas, numpy and the standard library, and set the random seed to {number}.",
        "The plot is titled with the {measure}, and its axes object is returned as the second value.",
    ),
}

CHARACTERS_PER_TOKEN = {
    "report": 4.6,
    "conversation": 4.4,
    "requirements": 4.3,
    "rules": 3.9,
    "rows": 2.9,
    "tests": 2.7,
}
"""How densely texts of each kind fill a large vocabulary; digits and symbols take more tokens."""

PLAIN_CHARACTERS_PER_TOKEN = 4.6
CHAT_FRAME_TOKENS = 36
"""What a chat template adds around a prompt."""

_BY_LINE = frozenset({"conversation", "rows", "tests"})


def tokens_of(text: str, kind: str | None = None) -> int:
    """Estimated tokens of a text of this kind, without the chat frame."""
    density = CHARACTERS_PER_TOKEN[kind] if kind else PLAIN_CHARACTERS_PER_TOKEN
    return round(len(text) / density)


def material(kind: str, num_tokens: int, rng: np.random.Generator) -> str:
    """A text of this kind with about `num_tokens` tokens; empty when not even one sentence is wanted."""
    sentences = SENTENCES[kind]
    parts: list[str] = []
    length = 0.0
    while length < num_tokens - 8:
        parts.append(fill(sentences[int(rng.integers(len(sentences)))], rng))
        length += len(parts[-1]) / CHARACTERS_PER_TOKEN[kind]
    return ("\n" if kind in _BY_LINE else " ").join(parts)

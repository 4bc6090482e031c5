"""Commands as they stand in README and docs, to be run as they stand there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]

_FENCE, _PROMPT = "```", "$ "
_SHELL = ("", "bash")
"""Languages of code blocks that hold commands."""


def commands_under(file: str, heading: str) -> list[str]:
    """Command lines between a heading and the next one.

    Args:
        file: relative to the repository's root.
        heading: its text, with the number signs.

    Raises:
        ValueError: there is no such heading, or no command under it.
    """
    found = sections(file)
    if heading not in found:
        raise ValueError(f"{file} has no heading {heading!r} with commands")
    return found[heading]


def text_under(file: str, heading: str, language: str) -> str:
    """The one code block of a language between a heading and the next one, to be kept in a file."""
    [text] = [block for under, kind, block in _blocks(file) if (under, kind) == (heading, language)]
    return "\n".join(text) + "\n"


def sections(file: str) -> dict[str, list[str]]:
    """Heading → command lines in its code blocks, for the headings that have some.

    Continued lines are joined, comments left out. Of a block with prompts only what follows them is taken.
    """
    found: dict[str, list[str]] = {}
    for heading, language, block in _blocks(file):
        if language in _SHELL:
            found.setdefault(heading, []).extend(_commands(block))
    return {heading: commands for heading, commands in found.items() if commands}


def _blocks(file: str) -> Iterator[tuple[str, str, list[str]]]:
    """Heading, language and lines of every code block."""
    heading, block, language = "", list[str](), None
    for line in (ROOT / file).read_text(encoding="utf-8").splitlines():
        if line.startswith(_FENCE) and language is None:
            block, language = [], line.removeprefix(_FENCE).strip()
        elif line.startswith(_FENCE):
            yield heading, language or "", block
            language = None
        elif language is not None:
            block.append(line)
        elif re.match("#+ ", line):
            heading = line


def _commands(block: list[str]) -> list[str]:
    lines = "\n".join(block).replace("\\\n", " ").replace("|\n", "| ").splitlines()
    if any(line.startswith(_PROMPT) for line in lines):
        lines = [line.removeprefix(_PROMPT) for line in lines if line.startswith(_PROMPT)]
    bare = (re.sub(r"(^|\s+)#\s.*$", "", line).strip() for line in lines)
    return [command for command in bare if command]

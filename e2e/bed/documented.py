"""Commands as they stand in README and docs, to be run as they stand there."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]

_FENCE = "```"


def commands_under(file: str, heading: str) -> list[str]:
    """Command lines of all code blocks between this heading and the next of its kind.

    Args:
        file: relative to the repository's root.
        heading: its text, with the number signs.

    Raises:
        ValueError: there is no such heading.
    """
    lines = iter((ROOT / file).read_text(encoding="utf-8").splitlines())
    if heading not in lines:  # reads up to it
        raise ValueError(f"{file} has no heading {heading!r}")
    level, code, is_code = len(heading.partition(" ")[0]), [], False
    for line in lines:
        if line.startswith(_FENCE):
            is_code = not is_code
        elif is_code:
            code.append(line)
        elif re.match(rf"#{{1,{level}}} ", line):
            break
    joined = "\n".join(code).replace("\\\n", " ").splitlines()
    bare = (re.sub(r"(^|\s+)#\s.*$", "", line).strip() for line in joined)
    return [command for command in bare if command]

"""The event log."""

from __future__ import annotations

from dataclasses import dataclass, field

from sagesched_gateway.settings.section import MIB, Section, key_of

PROMPT_RECORDS = ("Drop", "Hash", "Keep")


@dataclass(frozen=True, slots=True, kw_only=True)
class RecorderConfig:
    """The event log: one JSON line per request that ended, in the dataset format that replay reads.

    Attributes:
        file: where to; None records nothing. The file is private (mode 0600).
        prompts: one of `PROMPT_RECORDS`.
        max_bytes: size at which a new file is begun.
        files: how many full files are kept.
    """

    file: str | None = None
    prompts: str = "Drop"
    max_bytes: int = field(default=64 * MIB, metadata=key_of("maxBytes"))
    files: int = 4


def read(section: Section) -> RecorderConfig:
    """Read `recorder`."""
    default = RecorderConfig()
    return RecorderConfig(
        file=section.path_of("file"),
        prompts=section.choice("prompts", default.prompts, PROMPT_RECORDS, "choice"),
        max_bytes=section.whole("maxBytes", default.max_bytes, least=1024),
        files=section.whole("files", default.files, least=1),
    )

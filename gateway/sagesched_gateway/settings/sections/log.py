"""The gateway's own log."""

from __future__ import annotations

from dataclasses import dataclass

from sagesched_gateway.settings.section import Section

LOG_LEVELS = ("debug", "info", "warning", "error")
LOG_FORMATS = ("Text", "JSON")


@dataclass(frozen=True, slots=True, kw_only=True)
class LogConfig:
    """The gateway's own log, on stderr.

    Attributes:
        level: one of `LOG_LEVELS`.
        format: one of `LOG_FORMATS`.
    """

    level: str = "info"
    format: str = "Text"


def read(section: Section) -> LogConfig:
    """Read `log`."""
    default = LogConfig()
    return LogConfig(
        level=section.choice("level", default.level, LOG_LEVELS, "level"),
        format=section.choice("format", default.format, LOG_FORMATS, "format"),
    )

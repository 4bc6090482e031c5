"""The gateway's own log on stderr: one line per message, as text or as JSON, never with a prompt in it.

A line about a request bears the gateway's id of it (`request`, unique, the engine's log has the same) and the
caller's (`client_id`), both given as `extra=log_fields.about(request)`. A request's end is told at level
debug: totals are in the metrics and single requests in the recorder, and a line for each of thousands would
only hide what matters.
"""

from __future__ import annotations

import json
import logging
import sys
import threading
from datetime import UTC, datetime
from types import TracebackType
from typing import Any

from aiohttp.http_exceptions import HttpProcessingError

from sagesched_gateway.log_fields import fields_of
from sagesched_gateway.settings.sections.log import LogConfig

_LOG = logging.getLogger(__name__)


def start_logging(config: LogConfig) -> None:
    """Log everything to stderr from now on, uncaught exceptions too."""
    root = logging.getLogger()
    for handler in [handler for handler in root.handlers if isinstance(handler, _Stderr)]:
        root.removeHandler(handler)
    handler = _Stderr()
    handler.setFormatter(_Json() if config.format == "JSON" else _Text())
    handler.addFilter(_without_foreign_bytes)
    root.addHandler(handler)
    use_level(config.level)
    logging.captureWarnings(True)
    sys.excepthook = _log_uncaught
    threading.excepthook = lambda told: _log_uncaught(told.exc_type, told.exc_value, told.exc_traceback)


def use_level(level: str) -> None:
    """Log from this level on (one of `config.LOG_LEVELS`)."""
    logging.getLogger().setLevel(level.upper())


class _Stderr(logging.StreamHandler[Any]):
    """Asks for stderr at each line, so that it follows where stderr is replaced."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> Any:
        return sys.stderr


class _Text(logging.Formatter):
    """`2026-01-31T12:00:00.000Z INFO sagesched_gateway.server: message key=value`, a traceback below."""

    def format(self, record: logging.LogRecord) -> str:
        fields = "".join(f" {name}={_word(value)}" for name, value in fields_of(record).items())
        line = (
            f"{_instant(record)} {record.levelname} {record.name}: {_one_line(record.getMessage())}{fields}"
        )
        exception = self._exception(record)
        return f"{line}\n{exception}" if exception else line

    def _exception(self, record: logging.LogRecord) -> str:
        return self.formatException(record.exc_info) if record.exc_info else ""


class _Json(_Text):
    """The same as one JSON object: `at`, `level`, `logger`, `message`, the fields, `exception`."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "at": _instant(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **fields_of(record),
        }
        exception = self._exception(record)
        if exception:
            line["exception"] = exception
        return json.dumps(line, ensure_ascii=False, default=str)


def _instant(record: logging.LogRecord) -> str:
    instant = datetime.fromtimestamp(record.created, UTC)
    return instant.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _one_line(text: str) -> str:
    """Foreign words (Triton's messages, paths) may not begin a line of their own."""
    if text.isprintable():
        return text
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)


def _word(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    text = str(value)
    is_plain = bool(text) and text.isprintable() and not any(letter in ' "=' for letter in text)
    return text if is_plain else json.dumps(text, ensure_ascii=False)


def _without_foreign_bytes(record: logging.LogRecord) -> bool:
    """Where HTTP is malformed, aiohttp logs what it could not read, and that may be a prompt."""
    kind = record.exc_info[0] if record.exc_info else None
    if kind is not None and issubclass(kind, HttpProcessingError):
        record.msg = f"{record.getMessage()}: {kind.__name__}"
        record.args = None
        record.exc_info = record.exc_text = None
    return True


def _log_uncaught(
    kind: type[BaseException], error: BaseException | None, traceback: TracebackType | None
) -> None:
    if issubclass(kind, KeyboardInterrupt | SystemExit):
        return
    _LOG.critical("uncaught exception", exc_info=(kind, error or kind(), traceback))

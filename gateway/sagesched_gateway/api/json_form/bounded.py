"""`parse_json`: JSON of strangers, bounded in depth and number; every failure is told as the caller's."""

from __future__ import annotations

import codecs
import json
from collections import Counter
from typing import Any

from sagesched_gateway.errors import InvalidRequestError, TooLargeError
from sagesched_gateway.kserve import MOST_VALUES


def parse_json(body: bytes, most_levels: int) -> Any:
    """The value that a text holds.

    Args:
        body: UTF-8; a byte order mark before it is passed over, as by Triton.
        most_levels: nesting of objects and lists that is allowed.

    Raises:
        InvalidRequestError: it is no JSON, names a key twice, or is nested deeper.
        TooLargeError: it holds more than `MOST_VALUES` values.
    """
    # Commas within texts count as well: a text of a million of them is no prompt either.
    if body.count(b",") >= MOST_VALUES:
        raise TooLargeError(
            f"the request's JSON holds more than {MOST_VALUES} values; send large tensors as binary data"
        )
    try:
        value = json.loads(body.removeprefix(codecs.BOM_UTF8).decode("utf-8"), object_pairs_hook=_unique)
    except UnicodeDecodeError as error:
        raise InvalidRequestError(f"the request body is not UTF-8 text (byte {error.start})") from error
    except json.JSONDecodeError as error:
        raise _unreadable(f"{error.msg} at {error.pos}") from error
    except RecursionError as error:
        raise _too_deep(most_levels) from error
    except ValueError as error:  # a number of thousands of digits
        raise _unreadable("a number is too long") from error
    if body.count(b"[") + body.count(b"{") > most_levels and _is_deeper(value, most_levels):
        raise _too_deep(most_levels)
    return value


def _is_deeper(value: Any, levels: int) -> bool:
    containers = [value]
    for _ in range(levels):
        containers = [child for parent in containers for child in _children(parent)]
        if not containers:
            return False
    return True


def _children(value: Any) -> list[Any]:
    """What is inside of the containers that are inside of it; nothing for anything else."""
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [child for child in inside if isinstance(child, dict | list)]


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        twice = next(name for name, times in Counter(name for name, _ in pairs).items() if times > 1)
        raise InvalidRequestError(f"input '{twice}' already exists in request")
    return result


def _unreadable(why: str) -> InvalidRequestError:
    return InvalidRequestError(f"failed to parse the request JSON buffer: {why}")


def _too_deep(most_levels: int) -> InvalidRequestError:
    return InvalidRequestError(
        f"failed to parse the request JSON buffer: nested deeper than {most_levels} levels"
    )

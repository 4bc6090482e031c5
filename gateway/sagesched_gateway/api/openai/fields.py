"""`Fields`: the members of a JSON object, read by type; every complaint names the field. Pure.

A member that is null counts as absent, as OpenAI has it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from sagesched_gateway.api.json_form.tensors import Json
from sagesched_gateway.errors import InvalidRequestError, UnsupportedError


class Fields:
    """One JSON object."""

    def __init__(self, members: Json, path: str = "") -> None:
        """Take it.

        Args:
            members: what should be an object.
            path: its place in the request, for complaints; empty for the whole.

        Raises:
            InvalidRequestError: it is no object.
        """
        if not isinstance(members, dict):
            what = f"'{path}'" if path else "the request body"
            raise InvalidRequestError(f"{what} must be a JSON object", field=path or None)
        self._members: dict[str, Json] = members
        self._path = path

    def path(self, name: str) -> str:
        """A member's place in the request."""
        return f"{self._path}.{name}" if self._path else name

    def get(self, name: str) -> Json:
        """A member as it is; None where it is absent."""
        return self._members.get(name)

    def text(self, name: str) -> str:
        """A string that must be there."""
        value = self._members.get(name)
        if value is None:
            raise self.refused(name, "is missing")
        return self._text(name, value)

    def optional_text(self, name: str) -> str | None:
        """A string, or None."""
        value = self._members.get(name)
        return None if value is None else self._text(name, value)

    def flag(self, name: str) -> bool:
        """A truth value; False where absent."""
        value = self._members.get(name)
        if value is not None and not isinstance(value, bool):
            raise self.refused(name, f"must be true or false, not {shown(value)}")
        return bool(value)

    def whole(self, name: str, least: int, most: int) -> int | None:
        """A whole number within bounds, or None."""
        value = self._members.get(name)
        if value is None:
            return None
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            raise self.refused(name, f"must be a whole number from {least} to {most}, not {shown(value)}")
        return value

    def number(self, name: str, least: float, most: float) -> float | None:
        """A number within bounds, or None."""
        value = self._members.get(name)
        if value is None:
            return None
        if not isinstance(value, int | float) or isinstance(value, bool) or not least <= value <= most:
            raise self.refused(name, f"must be a number from {least:g} to {most:g}, not {shown(value)}")
        return float(value)

    def texts(self, name: str, *, most: int) -> tuple[str, ...]:
        """A string, or a list of strings, none of them empty."""
        value = self._members.get(name)
        if value is None:
            return ()
        values = value if isinstance(value, list) else [value]
        if len(values) > most:
            raise self.refused(name, f"may hold {most} strings at most, not {len(values)}")
        texts = tuple(self._text(name, item) for item in values)
        if not all(texts):
            raise self.refused(name, "must not hold an empty string")
        return texts

    def refuse_unless_idle(self, idle: dict[str, Sequence[Json]]) -> None:
        """Refuse members that ask for something.

        Args:
            idle: by name, the values that ask for nothing; null, empty lists, objects and strings never do.

        Raises:
            UnsupportedError: a named member has another value.
        """
        for name, harmless in idle.items():
            value = self._members.get(name)
            if value is None or value in ([], {}, "") or _is_among(value, harmless):
                continue
            raise UnsupportedError(f"'{self.path(name)}' is not served here", field=self.path(name))

    def refused(self, name: str, problem: str) -> InvalidRequestError:
        """The error for a member that cannot be accepted."""
        return InvalidRequestError(f"'{self.path(name)}' {problem}", field=self.path(name))

    def unsupported(self, name: str, problem: str) -> UnsupportedError:
        """The error for a member that asks for what is not served."""
        return UnsupportedError(f"'{self.path(name)}' {problem}", field=self.path(name))

    def _text(self, name: str, value: Json) -> str:
        if not isinstance(value, str):
            raise self.refused(name, f"must be a string, not {shown(value)}")
        try:
            value.encode()
        except UnicodeEncodeError:
            raise self.refused(name, "holds half a surrogate pair") from None
        return value


def shown(value: Json) -> str:
    """A value in a complaint, cut short."""
    return json.dumps(value)[:60]


def _is_among(value: Json, harmless: Sequence[Json]) -> bool:
    """As `in`, but True is not 1."""
    return any(type(value) is type(item) and value == item for item in harmless)

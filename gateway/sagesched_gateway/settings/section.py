"""`Section`: typed reading of one mapping of the settings, with the path in every complaint.

A wrong value is refused with its path and what is allowed; an unknown key is an error: a misspelt knob that
is silently ignored costs more than a start-up that fails. Reading goes on with the default, so that one look
at the file mends all of it. Standard library only, as `config.py`.
"""

from __future__ import annotations

import difflib
import ipaddress
import math
from collections.abc import Mapping
from dataclasses import fields

MIB = 2**20
_WHOLE = range(-(2**63), 2**63)  # beyond, libraries fail that are told of it
AUTO = "auto"


class ConfigError(ValueError):
    """Settings cannot be accepted.

    Attributes:
        problems: dotted path of a field, for example `scheduling.policy` (empty for the whole) -> what is
            wrong there and what is allowed; at least one, in the order of reading.
    """

    def __init__(self, problems: Mapping[str, str]) -> None:
        super().__init__("; ".join(f"{path}: {what}" if path else what for path, what in problems.items()))
        self.problems = dict(problems)


def key_of(name: str) -> dict[str, str]:
    """Metadata of a dataclass field whose key in the mapping differs from its name."""
    return {"key": name}


class Section:
    """One mapping of the settings; a value that is not allowed is noted down and its default stands in.

    Whoever made the first one asks `raise_if_refused` when everything has been read.
    """

    def __init__(
        self, raw: object, schema: type | None, path: str = "", problems: dict[str, str] | None = None
    ) -> None:
        """Take a mapping; its keys are those of the schema's fields, or any names where there is none."""
        self._path = path
        self._problems = {} if problems is None else problems
        self._raw: Mapping[object, object] = raw if isinstance(raw, Mapping) else {}
        if not isinstance(raw, Mapping):
            self._problems.setdefault(path, f"must be a mapping of settings, not {_shown(raw)}")
        if schema is None:
            return
        known = [item.metadata.get("key", item.name) for item in fields(schema)]
        for key in self._raw:
            if key not in known:
                close = difflib.get_close_matches(str(key), known, n=1)
                hint = f"did you mean '{close[0]}'? Known here" if close else "known here"
                self.refuse(str(key), f"unknown setting; {hint}: {', '.join(known)}")

    def refuse(self, key: str, problem: str) -> None:
        """Note down what is wrong with a key; the first complaint about it stands."""
        self._problems.setdefault(self.path(key), problem)

    def raise_if_refused(self) -> None:
        """Raise ConfigError if anything was refused, here or in a section within."""
        if self._problems:
            raise ConfigError(self._problems)

    def names(self) -> list[str]:
        """Its keys."""
        for name in self._raw:
            if not isinstance(name, str):
                self.refuse(str(name), f"must be a name, not {_shown(name)}")
        return [name for name in self._raw if isinstance(name, str)]

    def path(self, key: str) -> str:
        """The dotted path of a key."""
        return f"{self._path}.{key}" if self._path else key

    def section(self, key: str, schema: type | None) -> Section:
        """A section within; an absent or empty one means its defaults."""
        raw = self._raw.get(key)
        # `engine:` with all its lines commented out reads as nothing, and means the defaults.
        return Section({} if raw is None else raw, schema, self.path(key), self._problems)

    def choice(self, key: str, default: str, allowed: tuple[str, ...], what: str) -> str:
        """One of the words allowed; `what` names them in the complaint."""
        value = self._raw.get(key, default)
        if value not in allowed:
            self.refuse(key, f"unknown {what} {_shown(value)}, one of {', '.join(allowed)}")
            return default
        return str(value)

    def flag(self, key: str, default: bool) -> bool:
        """True or false."""
        value = self._raw.get(key, default)
        if not isinstance(value, bool):
            self.refuse(key, f"must be true or false, not {_shown(value)}")
            return default
        return value

    def whole(self, key: str, default: int, *, least: int, most: int | None = None) -> int:
        """A whole number within its bounds."""
        bounds = f"of at least {least}" if most is None else f"from {least} to {most}"
        value = self._whole(key, self._raw.get(key, default), f"a whole number {bounds}", least, most)
        return default if value is None else value

    def whole_or_auto(self, key: str, *, least: int, most: int | None = None) -> int | None:
        """A whole number, or None for `auto`."""
        value = self._raw.get(key, AUTO)
        if value == AUTO:
            return None
        bounds = f"of at least {least}" if most is None else f"from {least} to {most}"
        return self._whole(key, value, f"'{AUTO}' or a whole number {bounds}", least, most)

    def _whole(self, key: str, value: object, wanted: str, least: int, most: int | None) -> int | None:
        if not isinstance(value, int) or isinstance(value, bool):
            self.refuse(key, f"must be {wanted}, not {_shown(value)}")
            return None
        if value < least or (most is not None and value > most) or value not in _WHOLE:
            beyond = "" if value in _WHOLE else ", which is beyond 64 bits"
            self.refuse(key, f"must be {wanted}, not {_shown(value)}{beyond}")
            return None
        return value

    def number(
        self,
        key: str,
        default: float,
        *,
        above: float | None = None,
        least: float | None = None,
        most: float | None = None,
    ) -> float:
        """A finite number within its bounds."""
        value = self._raw.get(key, default)
        bounds = [f"above {above:g}"] if above is not None else []
        bounds += [f"of at least {least:g}"] if least is not None else []
        bounds += [f"at most {most:g}"] if most is not None else []
        wanted = f"must be a number {' and '.join(bounds)}, not {_shown(value)}"
        if not isinstance(value, int | float) or isinstance(value, bool) or not _is_finite(value):
            self.refuse(key, wanted)
            return default
        too_small = (above is not None and value <= above) or (least is not None and value < least)
        if too_small or (most is not None and value > most):
            self.refuse(key, wanted)
            return default
        return float(value)

    def number_or_none(self, key: str, *, above: float, most: float | None = None) -> float | None:
        """A finite number within its bounds; None where absent."""
        return None if self._raw.get(key) is None else self.number(key, 0.0, above=above, most=most)

    def numbers_by_name(self, key: str, *, above: float) -> tuple[tuple[str, float], ...]:
        """(name, finite number above a bound), sorted by name."""
        within = self.section(key, None)
        return tuple(sorted((name, within.number(name, 0.0, above=above)) for name in within.names()))

    def path_of(self, key: str) -> str | None:
        """The path of a file or folder; None where absent."""
        value = self._raw.get(key)
        if value is None:
            return None
        if not isinstance(value, str) or not value:
            self.refuse(key, f"must be the path of a file or folder, not {_shown(value)}")
            return None
        return value

    def name_of(self, key: str) -> str | None:
        """A name; None where absent."""
        value = self._raw.get(key)
        if value is None or (isinstance(value, str) and value):
            return value
        self.refuse(key, f"must be a name, not {_shown(value)}")
        return None

    def texts_by_name(self, key: str) -> tuple[tuple[str, str], ...]:
        """(name, text), sorted by name."""
        within = self.section(key, None)
        return tuple(sorted((name, within.name_of(name) or "") for name in within.names()))

    def choices(self, key: str, allowed: tuple[str, ...], what: str) -> tuple[str, ...]:
        """Any of the words allowed, each once."""
        values = self._list(key)
        for value in values:
            if value not in allowed:
                self.refuse(key, f"unknown {what} {_shown(value)}, any of {', '.join(allowed)}")
        return tuple(dict.fromkeys(str(value) for value in values))

    def choices_by_name(self, key: str, allowed: tuple[str, ...], what: str) -> tuple[tuple[str, str], ...]:
        """(name, one of the words allowed), sorted by name."""
        within = self.section(key, None)
        return tuple(sorted((name, within.choice(name, "", allowed, what)) for name in within.names()))

    def networks(self, key: str) -> tuple[str, ...]:
        """Networks in CIDR notation."""
        networks = []
        for value in self._list(key):
            try:
                networks.append(str(ipaddress.ip_network(str(value))))
            except ValueError:
                self.refuse(
                    key, f"must be networks such as 10.0.0.0/8, without host bits, not {_shown(value)}"
                )
        return tuple(networks)

    def _list(self, key: str) -> list[object]:
        value = self._raw.get(key)
        if value is None:
            return []
        if not isinstance(value, list | tuple):
            self.refuse(key, f"must be a list, not {_shown(value)}")
            return []
        return list(value)

    def address(self, key: str, default: str, *, lowest_port: int = 1) -> str:
        """An address, `host:port`."""
        value = self._raw.get(key, default)
        wanted = f"must be host:port with a port from {lowest_port} to 65535, not {_shown(value)}"
        if not isinstance(value, str) or not _is_address(value, lowest_port):
            self.refuse(key, wanted)
            return default
        return value


def _is_finite(value: float) -> bool:
    """Whether a float holds it: an int may be too large."""
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def _is_address(value: str, lowest_port: int) -> bool:
    host, _, port = value.rpartition(":")
    if not host or (":" in host and not (host.startswith("[") and host.endswith("]"))):
        return False
    return port.isascii() and port.isdigit() and len(port) < 6 and lowest_port <= int(port) <= 65535


def _shown(value: object) -> str:
    if value is None:
        return "nothing"
    try:
        return f"{value!r:.60}"
    except ValueError:  # Python writes no number of thousands of digits
        return "a number of thousands of digits"

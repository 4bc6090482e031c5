"""`Section`: typed reading of one mapping of the settings, with the path in every complaint.

A wrong value is refused with its path and what is allowed; an unknown key is an error: a misspelt knob that
is silently ignored costs more than a start-up that fails. Standard library only, as `config.py`.
"""

from __future__ import annotations

import difflib
import ipaddress
import math
from collections.abc import Mapping
from dataclasses import fields

MIB = 2**20
AUTO = "auto"


class ConfigError(ValueError):
    """A setting cannot be accepted.

    Attributes:
        path: dotted path of the field, for example `scheduling.policy`; empty for the whole.
        problem: what is wrong and what is allowed.
    """

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(f"{path}: {problem}" if path else problem)
        self.path = path
        self.problem = problem


def key_of(name: str) -> dict[str, str]:
    """Metadata of a dataclass field whose key in the mapping differs from its name."""
    return {"key": name}


class Section:
    """One mapping of the settings; every method raises ConfigError where a value is not allowed."""

    def __init__(self, raw: object, schema: type | None, path: str = "") -> None:
        """Take a mapping; its keys are those of the schema's fields, or any names where there is none."""
        if not isinstance(raw, Mapping):
            raise ConfigError(path, f"must be a mapping of settings, not {_shown(raw)}")
        self._raw: Mapping[object, object] = raw
        self._path = path
        if schema is None:
            return
        known = [item.metadata.get("key", item.name) for item in fields(schema)]
        for key in raw:
            if key not in known:
                close = difflib.get_close_matches(str(key), known, n=1)
                hint = f"did you mean '{close[0]}'? Known here" if close else "known here"
                raise ConfigError(self.path(str(key)), f"unknown setting; {hint}: {', '.join(known)}")

    def names(self) -> list[str]:
        """Its keys."""
        for name in self._raw:
            if not isinstance(name, str):
                raise self._refused(str(name), f"must be a name, not {_shown(name)}")
        return [str(name) for name in self._raw]

    def path(self, key: str) -> str:
        """The dotted path of a key."""
        return f"{self._path}.{key}" if self._path else key

    def section(self, key: str, schema: type | None) -> Section:
        """A section within; an absent or empty one means its defaults."""
        raw = self._raw.get(key)
        # `engine:` with all its lines commented out reads as nothing, and means the defaults.
        return Section({} if raw is None else raw, schema, self.path(key))

    def choice(self, key: str, default: str, allowed: tuple[str, ...], what: str) -> str:
        """One of the words allowed; `what` names them in the complaint."""
        value = self._raw.get(key, default)
        if value not in allowed:
            raise self._refused(key, f"unknown {what} {_shown(value)}, one of {', '.join(allowed)}")
        return str(value)

    def flag(self, key: str, default: bool) -> bool:
        """True or false."""
        value = self._raw.get(key, default)
        if not isinstance(value, bool):
            raise self._refused(key, f"must be true or false, not {_shown(value)}")
        return value

    def whole(self, key: str, default: int, *, least: int, most: int | None = None) -> int:
        """A whole number within its bounds."""
        bounds = f"of at least {least}" if most is None else f"from {least} to {most}"
        return self._whole(key, self._raw.get(key, default), f"a whole number {bounds}", least, most)

    def whole_or_auto(self, key: str, *, least: int, most: int | None = None) -> int | None:
        """A whole number, or None for `auto`."""
        value = self._raw.get(key, AUTO)
        if value == AUTO:
            return None
        bounds = f"of at least {least}" if most is None else f"from {least} to {most}"
        return self._whole(key, value, f"'{AUTO}' or a whole number {bounds}", least, most)

    def _whole(self, key: str, value: object, wanted: str, least: int, most: int | None) -> int:
        if not isinstance(value, int) or isinstance(value, bool):
            raise self._refused(key, f"must be {wanted}, not {_shown(value)}")
        if value < least or (most is not None and value > most):
            raise self._refused(key, f"must be {wanted}, not {value}")
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
        if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
            raise self._refused(key, wanted)
        if (above is not None and value <= above) or (least is not None and value < least):
            raise self._refused(key, wanted)
        if most is not None and value > most:
            raise self._refused(key, wanted)
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
            raise self._refused(key, f"must be the path of a file or folder, not {_shown(value)}")
        return value

    def name_of(self, key: str) -> str | None:
        """A name; None where absent."""
        value = self._raw.get(key)
        if value is None or (isinstance(value, str) and value):
            return value
        raise self._refused(key, f"must be a name, not {_shown(value)}")

    def texts_by_name(self, key: str) -> tuple[tuple[str, str], ...]:
        """(name, text), sorted by name."""
        within = self.section(key, None)
        return tuple(sorted((name, within.name_of(name) or "") for name in within.names()))

    def choices(self, key: str, allowed: tuple[str, ...], what: str) -> tuple[str, ...]:
        """Any of the words allowed, each once."""
        values = self._list(key)
        for value in values:
            if value not in allowed:
                raise self._refused(key, f"unknown {what} {_shown(value)}, any of {', '.join(allowed)}")
        return tuple(dict.fromkeys(str(value) for value in values))

    def choices_by_name(self, key: str, allowed: tuple[str, ...], what: str) -> tuple[tuple[str, str], ...]:
        """(name, one of the words allowed), sorted by name."""
        raw = self._raw.get(key)
        if raw is None:
            return ()
        if not isinstance(raw, Mapping):
            raise self._refused(key, f"must be a mapping of names, not {_shown(raw)}")
        for name, value in raw.items():
            if not isinstance(name, str) or value not in allowed:
                raise self._refused(
                    f"{key}.{name}", f"unknown {what} {_shown(value)}, one of {', '.join(allowed)}"
                )
        return tuple(sorted((str(name), str(value)) for name, value in raw.items()))

    def networks(self, key: str) -> tuple[str, ...]:
        """Networks in CIDR notation."""
        networks = []
        for value in self._list(key):
            try:
                networks.append(str(ipaddress.ip_network(str(value))))
            except ValueError:
                raise self._refused(
                    key, f"must be networks such as 10.0.0.0/8, without host bits, not {_shown(value)}"
                ) from None
        return tuple(networks)

    def _list(self, key: str) -> list[object]:
        value = self._raw.get(key)
        if value is None:
            return []
        if not isinstance(value, list | tuple):
            raise self._refused(key, f"must be a list, not {_shown(value)}")
        return list(value)

    def address(self, key: str, default: str, *, lowest_port: int = 1) -> str:
        """An address, `host:port`."""
        value = self._raw.get(key, default)
        wanted = f"must be host:port with a port from {lowest_port} to 65535, not {_shown(value)}"
        if not isinstance(value, str):
            raise self._refused(key, wanted)
        host, _, port = value.rpartition(":")
        if not host or (":" in host and not (host.startswith("[") and host.endswith("]"))):
            raise self._refused(key, wanted)
        if not (port.isascii() and port.isdigit()) or not lowest_port <= int(port) <= 65535:
            raise self._refused(key, wanted)
        return value

    def _refused(self, key: str, problem: str) -> ConfigError:
        return ConfigError(self.path(key), problem)


def _shown(value: object) -> str:
    return "nothing" if value is None else f"{value!r:.60}"

"""Settings from a YAML file; a complaint names the file and the line.

Apart from `config.py`, since that module must not import anything outside the standard library.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import yaml

from sagesched_gateway.settings.config import GatewayConfig, parse_config
from sagesched_gateway.settings.section import ConfigError


class ConfigFileError(ValueError):
    """A settings file cannot be used; a line per complaint, `file:line` first where a line is to blame."""


def load_config(path: Path) -> GatewayConfig:
    """Read the settings in a YAML file; an empty file means all defaults.

    Raises:
        ConfigFileError: the file cannot be read, is not YAML, or holds a setting that is refused.
    """
    return parse_config_text(_text_of(path), str(path))


def parse_config_text(text: str, source: str) -> GatewayConfig:
    """Read the settings in YAML text; `source` names its origin in complaints.

    Raises:
        ConfigFileError: as `load_config`.
    """
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        if root is not None:
            _refuse_duplicates(root, set())
        settings = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        line = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
        raise ConfigFileError(f"{source}{line}: not valid YAML: {error.problem or error.context}") from error
    except yaml.YAMLError as error:
        raise ConfigFileError(f"{source}: not valid YAML: {' '.join(str(error).split())}") from error
    except RecursionError as error:
        raise ConfigFileError(f"{source}: not valid YAML: nested too deep") from error
    except (ValueError, LookupError, AttributeError) as error:
        # PyYAML's own failures: what looks like a date or number and is none, or one of thousands of digits.
        raise ConfigFileError(f"{source}: not valid YAML: a value cannot be read: {error}") from error
    if settings is None:
        settings = {}
    if not isinstance(settings, Mapping):
        raise ConfigFileError(f"{source}: must hold a mapping of settings, not {type(settings).__name__}")
    try:
        return parse_config(settings)
    except ConfigError as error:
        complaints = (
            f"{source}{_line_of(root, path)}: {path}: {problem}" for path, problem in error.problems.items()
        )
        raise ConfigFileError("\n".join(complaints)) from error


def _text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigFileError(f"{path}: cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise ConfigFileError(f"{path}: is not UTF-8 text (byte {error.start})") from error


def _refuse_duplicates(node: yaml.Node, visited: set[int]) -> None:
    """YAML's loader would silently let the last of two equal keys win."""
    if id(node) in visited:  # an alias, possibly to a node that holds it
        return
    visited.add(id(node))
    if isinstance(node, yaml.SequenceNode):
        for item in node.value:
            _refuse_duplicates(item, visited)
    if not isinstance(node, yaml.MappingNode):
        return
    seen: set[str] = set()
    for key, value in node.value:
        if isinstance(key, yaml.ScalarNode):
            if key.value in seen:
                problem = f"the setting '{key.value}' is given twice"
                raise yaml.MarkedYAMLError(problem=problem, problem_mark=key.start_mark)
            seen.add(key.value)
        _refuse_duplicates(value, visited)


def _line_of(root: yaml.Node | None, path: str) -> str:
    """`:line` of the deepest part of the path that the text holds; empty where it holds none."""
    line = ""
    node = root
    for part in path.split("."):
        if not isinstance(node, yaml.MappingNode):
            break
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value == part:
                line, node = f":{key.start_mark.line + 1}", value
                break
        else:
            break
    return line

"""`ChatTemplate`: messages to one prompt, by the model's own Jinja template. The sole importer of Jinja.

Triton takes finished text, so the gateway renders what Hugging Face's `apply_chat_template` would: the same
environment (sandboxed, immutable, blocks trimmed, loop controls, the `generation` tag), the same functions
(`raise_exception`, `strftime_now`, `tojson`) and the same variables (messages, special tokens,
`add_generation_prompt`). Templates are the operator's, messages are not: these are only ever values.

A template writes the BOS token, and the model's preprocessing (`add_special_tokens`) or the engine's own
tokenizer writes one more, which makes answers worse. So one leading BOS is taken off what was rendered.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, NoReturn

import jinja2
from jinja2 import nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

from sagesched_gateway.api.json_form.tensors import Json
from sagesched_gateway.errors import InvalidRequestError, TooLargeError

_TEMPLATE_FILE = "chat_template.jinja"
_CONFIG_FILE = "tokenizer_config.json"
_SPECIAL_TOKENS = ("bos_token", "eos_token", "unk_token", "pad_token", "sep_token", "cls_token", "mask_token")
_DEFAULT = "default"
_TEMPLATE_FAILURES = (
    jinja2.TemplateError,
    ArithmeticError,
    AttributeError,
    LookupError,
    RecursionError,
    TypeError,
    ValueError,
)
"""What a template that runs into unexpected messages raises."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TemplateSource:
    """A template and what it needs of the tokenizer.

    Attributes:
        text: the template.
        special_tokens: by name (`bos_token`, ...).
    """

    text: str
    special_tokens: dict[str, str] = field(default_factory=dict)


class ChatTemplate:
    """Renders chats."""

    def __init__(self, source: TemplateSource) -> None:
        """Compile the template.

        Raises:
            ValueError: it is no Jinja template.
        """
        environment = ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols, _GenerationTag]
        )
        environment.globals["raise_exception"] = _raise_exception
        environment.globals["strftime_now"] = _strftime_now
        environment.filters["tojson"] = _to_json
        try:
            self._template = environment.from_string(source.text)
        except jinja2.TemplateSyntaxError as error:
            raise ValueError(f"chat template: line {error.lineno}: {error.message}") from error
        self._special_tokens = source.special_tokens
        # A template that does not know the newer role would drop such messages, or refuse them.
        self._knows_developer = "developer" in source.text

    def render(self, messages: Sequence[dict[str, str]], *, max_characters: int) -> str:
        """The prompt, up to where the answer begins.

        Args:
            messages: `role`, `content` and perhaps `name` of each.
            max_characters: of the prompt.

        Raises:
            InvalidRequestError: the template refuses the messages, or fails on them.
            TooLargeError: the prompt would be longer than allowed.
        """
        variables: dict[str, Any] = {
            "messages": [self._known(message) for message in messages],
            "tools": None,
            "documents": None,
            "add_generation_prompt": True,
        }
        pieces: list[str] = []
        length = 0
        try:
            for piece in self._template.generate(self._special_tokens | variables):
                pieces.append(piece)
                length += len(piece)
                if length > max_characters:
                    raise TooLargeError(
                        f"the chat's prompt is longer than {max_characters} characters", field="messages"
                    )
        except _TEMPLATE_FAILURES as error:
            raise InvalidRequestError(
                f"the chat template does not accept the messages: {error}", field="messages"
            ) from error
        return "".join(pieces).removeprefix(self._special_tokens.get("bos_token", ""))

    def _known(self, message: dict[str, str]) -> dict[str, str]:
        if message["role"] == "developer" and not self._knows_developer:
            return message | {"role": "system"}
        return message


def find_template(template_file: str | None, tokenizer: str | None) -> TemplateSource | None:
    """The template to use.

    Args:
        template_file: a Jinja file, which wins; None looks beside the tokenizer: `chat_template.jinja`, else
            the one in `tokenizer_config.json`.
        tokenizer: the tokenizer's file or folder; also tells the special tokens.

    Returns:
        The template, None where there is none.

    Raises:
        ValueError: a file cannot be read, or is not what it should be.
    """
    folder = _folder(tokenizer)
    config: dict[str, Json] = {}
    beside: Path | None = None
    if folder is not None:
        config = _config(folder / _CONFIG_FILE)
        beside = folder / _TEMPLATE_FILE
    if template_file is not None:
        text: str | None = _read(Path(template_file))
    elif beside is not None and beside.is_file():
        text = _read(beside)
    else:
        text = _configured(config.get("chat_template"))
    return None if text is None else TemplateSource(text=text, special_tokens=_special_tokens(config))


def _folder(tokenizer: str | None) -> Path | None:
    if tokenizer is None:
        return None
    path = Path(tokenizer)
    return path if path.is_dir() else path.parent


def _config(path: Path) -> dict[str, Json]:
    if not path.is_file():
        return {}
    try:
        config = json.loads(_read(path))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    if not isinstance(config, dict):
        raise ValueError(f"{path}: must hold a JSON object")
    return config


def _configured(value: Json) -> str | None:
    """The template of a tokenizer's configuration: a text, or a list of named ones."""
    if isinstance(value, list):
        named = {item.get("name"): item.get("template") for item in value if isinstance(item, dict)}
        value = named.get(_DEFAULT)
    return value if isinstance(value, str) else None


def _special_tokens(config: dict[str, Json]) -> dict[str, str]:
    tokens: dict[str, str] = {}
    for name in _SPECIAL_TOKENS:
        value = config.get(name)
        text = value.get("content") if isinstance(value, dict) else value
        if isinstance(text, str):
            tokens[name] = text
    return tokens


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "is not UTF-8 text"
        raise ValueError(f"{path}: {reason or error}") from error


def _raise_exception(message: object) -> NoReturn:
    raise jinja2.TemplateError(str(message))


def _strftime_now(form: str) -> str:
    return datetime.now().strftime(form)


def _to_json(value: Json, indent: int | None = None, **_: object) -> str:
    return json.dumps(value, ensure_ascii=False, indent=indent)


class _GenerationTag(Extension):
    """`{% generation %}`: marks the assistant's words for training; here it only lets them through."""

    tags = {"generation"}  # noqa: RUF012  # as Jinja declares it

    def parse(self, parser: Parser) -> list[nodes.Node]:
        """Give back what is between the tags."""
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)

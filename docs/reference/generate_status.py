"""The page of the gateway's report about itself, status.md, from `sagesched_gateway.status`."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import Any, get_args, get_type_hints

from markdown_page import attributes_of, page, table

from sagesched_gateway.status import GatewayStatus

_IN_THE_CODE_ALONE = {
    ", `SCHEMA` where it was written": "",
    " (`sagesched_gateway.settings.config.digest`)": "",
    "`GatewayStatus.config_digest`": "`config_digest`",
}


def status_page() -> str:
    """Every field of `/status`."""
    return page(
        "Status",
        """
        `GET /status` on the metrics port (8002) answers with one JSON object: what the gateway does at this
        moment, what it believes, and why. The operator reads it, and so can a person:
        `curl -s localhost:8002/status | jq .queue`. `null` means that something is not known. New fields may
        come with any release; `schema` is raised when one changes its meaning. Prompts are never in it.
        Series over time are [metrics](metrics.md).
        """,
        table(("field", "meaning"), _rows(GatewayStatus, "")),
    )


def _rows(cls: type[Any], path: str) -> Iterator[tuple[str, str]]:
    meanings = attributes_of(inspect.getdoc(cls) or "")
    hints = get_type_hints(cls)
    for item in fields(cls):
        hint, here = hints[item.name], f"{path}{item.name}"
        listed = next((part for part in get_args(hint) if is_dataclass(part)), None)
        if is_dataclass(hint):
            yield from _rows(hint, f"{here}.")  # type: ignore[arg-type]  # a class, not an instance
            continue
        yield f"`{here}`", _in_json(meanings[item.name])
        if listed is not None:
            yield from _rows(listed, f"{here}[].")  # type: ignore[arg-type]  # as above


def _in_json(meaning: str) -> str:
    for name, words in _IN_THE_CODE_ALONE.items():
        meaning = meaning.replace(name, words)
    return meaning.replace("; None ", "; null ").replace(", or None", ", or null")

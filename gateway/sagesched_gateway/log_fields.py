"""`about`: which request a log line is about. Apart from `logs.py`, so that those who log need little."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from sagesched_gateway.request import GenerationRequest

_FIELDS = "sagesched_fields"
_LONGEST_ID = 128
"""Of a caller's id, which may be anything."""


def about(request: GenerationRequest, **fields: object) -> dict[str, object]:
    """`extra` of a line about a request: both its ids, and other fields that hold nothing of its content."""
    return {_FIELDS: {"request": request.upstream_id, "client_id": request.client_id[:_LONGEST_ID], **fields}}


def fields_of(record: logging.LogRecord) -> Mapping[str, object]:
    """What `about` has put on a line."""
    fields: Mapping[str, object] = getattr(record, _FIELDS, {})
    return fields

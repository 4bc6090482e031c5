from __future__ import annotations

from collections.abc import Callable

import pytest

from sagesched_gateway.dispatch.ports import RequestRecord
from sagesched_gateway.request import Attributes


@pytest.fixture
def a_record() -> Callable[..., RequestRecord]:
    def make(**changes: object) -> RequestRecord:
        fields: dict[str, object] = {
            "id": "mine",
            "model": "ensemble",
            "attributes": Attributes(tenant="acme", priority=3),
            "prompt": "Why is the sky blue – 🙂?",
            "prompt_tokens": 9,
            "max_tokens": 64,
            "arrival_unix_s": 1_790_000_000.25,
            "queue_s": 0.5,
            "ttft_s": 0.75,
            "ttlt_s": 2.0,
            "output_tokens": 12,
            "outcome": "completed",
            "policy": "gittins-boost",
        } | changes
        return RequestRecord(**fields)  # type: ignore[arg-type]

    return make

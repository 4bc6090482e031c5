"""`LineWriter`: a request's record as one JSON line of the dataset format, with fields of our own beside.

Fields of the format: `id` (the caller's), `model`, `prompt` (where prompts are kept), `prompt_tokens`,
`max_tokens`, `temperature`, `top_p`, `system_prompt` (where prompts are kept), `has_tools`, `wants_json`,
`thinking`, `output_tokens`, `censored` (the answer was cut off: its natural length is only known to be
larger), `arrival_s` (Unix seconds, so that the files of several runs go together). Ours: `outcome`,
`prompt_hash`, `tenant`, `priority`, `deadline_s`, `queue_s`, `ttft_s`, `ttlt_s`, `policy`, `evictions`. What
is not known or not told is left out.

`prompt_hash` is BLAKE2b of the prompt, 128 bits, under a random key that is drawn at each start of the
gateway and never leaves its memory: equal prompts of one run have equal hashes, and nobody can try guessed
prompts against the file.
"""

from __future__ import annotations

import hashlib
import json
import secrets

from sagesched_gateway.dispatch.ports import RequestRecord
from sagesched_predictor.features import PromptFeatures

COMPLETED = "completed"


class LineWriter:
    """Writes records of one run."""

    def __init__(self, prompts: str) -> None:
        """Prepare; `prompts` is one of `config.PROMPT_RECORDS`."""
        self._prompts = prompts
        self._key = secrets.token_bytes(32)

    def line(self, record: RequestRecord) -> bytes:
        """The line, with its end."""
        fields = {name: value for name, value in self._fields(record).items() if value not in (None, "")}
        return json.dumps(fields, ensure_ascii=False).encode("utf-8", "replace") + b"\n"

    def _fields(self, record: RequestRecord) -> dict[str, object]:
        attributes = record.attributes
        return {
            "id": record.id,
            "model": record.model,
            **self._prompt(record.prompt),
            **self._asked(record.features),
            "prompt_tokens": record.prompt_tokens or None,
            "max_tokens": record.max_tokens,
            "output_tokens": record.output_tokens,
            "arrival_s": round(record.arrival_unix_s, 6),
            "outcome": record.outcome,
            "censored": is_censored(record),
            "tenant": attributes.tenant,
            "priority": attributes.priority,
            "deadline_s": attributes.deadline_s,
            "queue_s": _seconds(record.queue_s),
            "ttft_s": _seconds(record.ttft_s),
            "ttlt_s": _seconds(record.ttlt_s),
            "policy": record.policy,
            "evictions": record.evictions or None,
        }

    def _asked(self, features: PromptFeatures | None) -> dict[str, object]:
        if features is None:
            return {}
        return {
            "system_prompt": features.system_prompt if self._prompts == "Keep" else None,
            "temperature": features.temperature,
            "top_p": features.top_p,
            "has_tools": features.has_tools or None,
            "wants_json": features.wants_json or None,
            "thinking": features.thinking or None,
        }

    def _prompt(self, prompt: str) -> dict[str, str]:
        if self._prompts == "Keep":
            return {"prompt": prompt}
        if self._prompts == "Hash" and prompt:
            text = prompt.encode("utf-8", "surrogatepass")
            return {"prompt_hash": hashlib.blake2b(text, key=self._key, digest_size=16).hexdigest()}
        return {}


def is_censored(record: RequestRecord) -> bool:
    """Whether the answer might have gone on: cut at its cap, cancelled or failed."""
    return record.outcome != COMPLETED or record.output_tokens >= record.max_tokens


def _seconds(value: float | None) -> float | None:
    return None if value is None else round(value, 6)

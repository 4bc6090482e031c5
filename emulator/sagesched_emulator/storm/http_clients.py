"""HTTP clients of a storm: Triton's generate extension and OpenAI's completions."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp

from sagesched_emulator.storm.ledger import COMPLETE, LEFT, Ask, Ledger

EARLY_END = "connection ended early"
_EVENT = b"data: "
_DONE = b"[DONE]"


async def generate(
    session: aiohttp.ClientSession,
    ledger: Ledger,
    ask: Ask,
    model: str,
    *,
    leaves_after: int | None,
    streams: bool,
) -> None:
    """Triton's `generate_stream`, or `generate`."""
    path = f"/v2/models/{model}/{'generate_stream' if streams else 'generate'}"
    body = {"text_input": ask.prompt, "max_tokens": ask.tokens, "id": ask.id} | {
        "stream": streams,
        "exclude_input_in_output": True,
    }
    await _exchange(session, ledger, ask, path, json.dumps(body).encode(), leaves_after)


async def complete(
    session: aiohttp.ClientSession,
    ledger: Ledger,
    ask: Ask,
    model: str,
    *,
    leaves_after: int | None,
    streams: bool,
) -> None:
    """OpenAI's `/v1/completions`."""
    body = {"model": model, "prompt": ask.prompt, "max_tokens": ask.tokens, "stream": streams}
    await _exchange(session, ledger, ask, "/v1/completions", json.dumps(body).encode(), leaves_after)


async def send_anything(
    session: aiohttp.ClientSession, ledger: Ledger, ask: Ask, path: str, body: bytes
) -> None:
    """A body that cannot be right."""
    await _exchange(session, ledger, ask, path, body, None)


async def _exchange(
    session: aiohttp.ClientSession,
    ledger: Ledger,
    ask: Ask,
    path: str,
    body: bytes,
    leaves_after: int | None,
) -> None:
    try:
        async with session.post(path, data=body, headers={"Content-Type": "application/json"}) as response:
            if response.status != 200:
                how = f"http {response.status}: {await response.text()}"
            else:
                how = await _hear(ledger, ask, response, leaves_after)
                if how == LEFT and response.connection is not None:
                    response.connection.close()
    except (aiohttp.ClientError, ConnectionError) as error:
        how = f"{EARLY_END}: {type(error).__name__}"
    ledger.ended(ask.id, how)


async def _hear(ledger: Ledger, ask: Ask, response: aiohttp.ClientResponse, leaves_after: int | None) -> str:
    """Tell the ledger what comes; returns how the answer ended."""
    if response.content_type != "text/event-stream":
        told = await response.json()
        ledger.heard(ask.id, _text(told))
        return COMPLETE if "error" not in told else f"error: {told['error']}"
    num_read, is_done, is_openai = 0, False, response.url.path.startswith("/v1")
    async for event in _events(response.content):
        if is_done:
            return f"after [DONE] came {event[:80]!r}"
        if event == _DONE:
            is_done = True
            continue
        told = json.loads(event)
        if "error" in told:
            return f"error: {told['error']}"
        ledger.heard(ask.id, _text(told))
        num_read += 1
        if num_read == leaves_after:
            return LEFT
    # Triton's face has no mark for the end: whether this was all, only the text tells.
    return COMPLETE if is_done or not is_openai else EARLY_END


async def _events(content: aiohttp.StreamReader) -> AsyncIterator[bytes]:
    async for line in content:
        if line.startswith(_EVENT):
            yield line.removeprefix(_EVENT).strip()


def _text(told: dict[str, Any]) -> str:
    """Of a `generate` response, or of a completion or a piece of one."""
    if "text_output" in told:
        return str(told["text_output"])
    return "".join(choice["text"] for choice in told.get("choices", ()))

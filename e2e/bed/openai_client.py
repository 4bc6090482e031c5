"""OpenAI's own client, one connection pool, streamed completions."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx2
import openai

from bed.errors import AnswerError
from bed.load import Load

_PORT = 8000


class OpenAIClient:
    """A client of the pool."""

    def __init__(self, load: Load) -> None:
        """Connect lazily to the load's target."""
        self._client = openai.AsyncOpenAI(
            base_url=f"http://{load.target}:{_PORT}/v1",
            api_key="none",
            max_retries=0,  # the ledger wants to see every error
            timeout=openai.Timeout(None, connect=10.0),
        )
        self._model = load.model

    async def generate(self, id: str, prompt: str, max_tokens: int) -> AsyncIterator[str]:
        """Pieces of the answer.

        Raises:
            AnswerError: the request failed.
        """
        finished = False
        try:
            stream = await self._client.completions.create(
                model=self._model,
                prompt=prompt,
                max_tokens=max_tokens,
                stream=True,
                extra_headers={"x-request-id": id},
            )
            async for chunk in stream:
                for choice in chunk.choices:
                    yield choice.text
                    finished = finished or choice.finish_reason is not None
        except (openai.OpenAIError, httpx2.HTTPError) as error:
            raise AnswerError(" ".join(f"{type(error).__name__}: {error}".split())) from error
        if not finished:
            raise AnswerError("the stream ended before the answer did")

    async def close(self) -> None:
        """Hang up."""
        await self._client.close()

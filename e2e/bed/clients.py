"""The process of the clients: `python -m bed.clients LOAD ACCOUNT`.

It sends until its input ends (or the trace does), waits for what is open, and leaves its account. The clients
are tritonclient's and OpenAI's own, as a user has them. The emulated engine's answer follows from the prompt,
so each request knows what it must hear: the ledger is told every piece of text and every end.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Protocol

from bed.errors import AnswerError
from bed.load import OPENAI, Account, Load, Timing
from bed.openai_client import OpenAIClient
from bed.triton_client import TritonClient
from sagesched_emulator.answers import Answers
from sagesched_emulator.storm.ledger import COMPLETE, Ledger

_PATIENCE_S = 300.0
_BACK_OFF_S = 0.5
"""After an error, as a sensible client does."""

_ANY_ERROR = ".*"
"""The scenario judges errors; the ledger judges text and that there is one end."""


class Client(Protocol):
    """One connection to the pool."""

    def generate(self, id: str, prompt: str, max_tokens: int) -> AsyncIterator[str]:
        """Pieces of the answer.

        Raises:
            AnswerError: the request failed; the message is the error as the client tells it.
        """
        ...

    async def close(self) -> None:
        """Hang up."""
        ...


class Clients:
    """All clients of a load."""

    def __init__(self, load: Load) -> None:
        """Prepare; nothing is sent yet."""
        self._load = load
        self._ledger = Ledger(_ANY_ERROR)
        self._answers = Answers()
        self._timings: list[Timing] = []
        self._told_to_end = asyncio.Event()

    async def run(self) -> Account:
        """Send, until the input ends or the trace does; returns when every request has ended."""
        load = self._load
        async with AsyncExitStack() as open_clients:
            clients = []
            for _ in range(load.connections):
                client = OpenAIClient(load) if load.client == OPENAI else TritonClient(load)
                open_clients.push_async_callback(client.close)
                clients.append(client)
            if load.trace:
                await self._follow(clients)
            else:
                watch = asyncio.create_task(self._until_input_ends())
                await asyncio.gather(
                    *(
                        self._stream(client, f"{load.name}-{number}-{stream}")
                        for number, client in enumerate(clients)
                        for stream in range(load.streams)
                    )
                )
                watch.cancel()
        ends = self._ledger.close()
        return Account(problems=self._ledger.problems, ends=dict(ends), timings=self._timings)

    async def _stream(self, client: Client, name: str) -> None:
        chance = random.Random(name)
        for number in itertools.count():
            if self._told_to_end.is_set():
                return
            id = f"{name}-{number}"
            prompt = f"Please tell me what happened in house number {number} of the street {name}."
            max_tokens = chance.randint(*self._load.tokens)
            tokens = min(max_tokens, self._answers.next(prompt).output_tokens)
            is_complete = await self._one(client, id, prompt, max_tokens, tokens)
            await asyncio.sleep(self._load.pause_s if is_complete else _BACK_OFF_S)

    async def _follow(self, clients: list[OpenAIClient | TritonClient]) -> None:
        began, turns = time.monotonic(), itertools.cycle(clients)
        async with asyncio.TaskGroup() as group:
            for number, request in enumerate(self._load.trace):
                await asyncio.sleep(max(0.0, began + request.at_s - time.monotonic()))
                id = f"{self._load.name}-{number}"
                group.create_task(
                    self._one(next(turns), id, request.prompt, request.max_tokens, request.tokens)
                )

    async def _one(self, client: Client, id: str, prompt: str, max_tokens: int, tokens: int) -> bool:
        """One request from its beginning to its end; whether that was a complete answer."""
        timing = Timing(id=id, due=time.time())
        self._timings.append(timing)
        self._ledger.ask(id, prompt, tokens)
        try:
            async with asyncio.timeout(_PATIENCE_S):
                async for text in client.generate(id, prompt, max_tokens):
                    timing.first = timing.first or time.time()
                    self._ledger.heard(id, text)
            timing.end = COMPLETE
        except AnswerError as error:
            timing.end = str(error)
        except TimeoutError:
            timing.end = f"nothing more within {_PATIENCE_S:.0f} s"
        timing.last = time.time()
        self._ledger.ended(id, timing.end)
        return timing.end == COMPLETE

    async def _until_input_ends(self) -> None:
        await asyncio.to_thread(sys.stdin.read)
        self._told_to_end.set()


def main() -> None:
    """Run the clients of a load."""
    load_file, account_file = map(Path, sys.argv[1:3])
    account = asyncio.run(Clients(Load.read(load_file)).run())
    account.write(account_file)


if __name__ == "__main__":
    main()

"""`run_storm`: rounds of random clients against a gateway while troubles befall it, and what is left then."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import grpc

from sagesched_emulator.answers import write_answers
from sagesched_emulator.config_mount import ConfigMount
from sagesched_emulator.demo.gateway_process import GatewayProcess, Prediction, gateway_config
from sagesched_emulator.load import CHANNEL_OPTIONS
from sagesched_emulator.storm import http_clients
from sagesched_emulator.storm.grpc_clients import CUT_SHORT, Manner, a_message, converse
from sagesched_emulator.storm.hostile import HOSTILE_HTTP, hostile_messages
from sagesched_emulator.storm.ledger import Ask, Ledger
from sagesched_emulator.storm.throwing_encoder import UNKNOWN_WORD, make_throwing_encoder
from sagesched_emulator.storm.troubles import RestartedTriton, Troubles

MODEL = "ensemble"
ENGINE, TIME_SCALE = "slot-bound", 0.4
SLOTS = 6
"""Places that the gateway counts with: few, so that a queue forms."""

MESSAGE_BYTES = 200_000
EXCUSED = (
    "upstream-unavailable|UNAVAILABLE: .+|http 503: .+"
    "|(in-band|error): .*(cannot reach Triton|unavailable|ready state|shutting down).*"
)
"""What a request may be told while Triton is away."""

HURRIED = "deadline-exceeded|DEADLINE_EXCEEDED: .+|in-band: even started now .+"
"""What one in a hurry may be told; in the stream where it is given up before its time is over."""

_WRONG = (
    "in-band: .+|(INVALID_ARGUMENT|NOT_FOUND|UNIMPLEMENTED|RESOURCE_EXHAUSTED): .+|invalid-request|too-large"
    f"|http (400|404|413|422|501): .+|error: .+|{CUT_SHORT}"
)
_KILL_AT, _BACK_AT = 0.45, 0.6
"""Shares of a round: Triton is killed, and clients wait until it is back."""

_UNENCODABLE = 0.15
"""Share of the prompts on which the predictor throws."""

_CHANNELS = 6
_MOST_TOKENS = 40
_GIVE_UP_S = 60.0
_SETTLE_S = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class StormSpec:
    """What is to come.

    Attributes:
        requests: per round.
        span_s: seconds in which a round's clients arrive.
        rounds: equal ones; memory is compared between them.
        seed: of everything random.
        encoder: the predictor's, made to throw now and then; None runs without one.
    """

    requests: int
    span_s: float
    rounds: int = 2
    seed: int = 0
    encoder: Path | None = None


@dataclass(slots=True, kw_only=True)
class StormResult:
    """What came of it.

    Attributes:
        problems: what was lost, doubled, mixed up or left behind, in words; empty where nothing was.
        ends: requests by how they ended.
        done: troubles by kind.
        counters: of the gateway, at the end.
        rss_mib: the gateway's memory after each round.
    """

    problems: list[str] = field(default_factory=list)
    ends: Counter[str] = field(default_factory=Counter)
    done: Counter[str] = field(default_factory=Counter)
    counters: dict[str, int] = field(default_factory=dict)
    rss_mib: list[float] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Prompt:
    """A prompt and its true length, as `write_answers` wants it."""

    prompt: str
    output_tokens: int
    prompt_tokens: int = 8


def run_storm(spec: StormSpec, folder: Path) -> StormResult:
    """Start Triton and a gateway, let the storm pass, look at what is left."""
    answers = folder / "answers.jsonl"
    prompts = [list(_prompts(spec, number)) for number in range(spec.rounds)]
    write_answers(answers, [prompt for round in prompts for prompt in round])
    result = StormResult()
    encoder = None if spec.encoder is None else make_throwing_encoder(spec.encoder, folder)
    with RestartedTriton(ENGINE, TIME_SCALE, answers) as triton:
        prediction = Prediction(encoder=encoder, enabled=encoder is not None)
        config = gateway_config(triton.addresses, "fcfs", prediction)
        config |= {"limits": {"messageBytes": MESSAGE_BYTES}, "engine": {"slots": SLOTS}}
        mount = ConfigMount(folder, "gateway-storm.yaml", "")
        with GatewayProcess(config, folder, "storm") as gateway:
            troubles = Troubles(gateway, mount, config, spec.seed)
            for number in range(spec.rounds):
                ledger = Ledger(EXCUSED)
                asyncio.run(_round(spec, number, prompts[number], ledger, gateway, troubles, triton))
                result.ends += ledger.close()
                result.problems += ledger.problems
                result.problems += [f"round {number}: {left}" for left in _left_behind(gateway)]
                result.rss_mib.append(gateway.rss_mib())
            troubles.count_throws()
            result.done = troubles.done
            result.counters = _counters(gateway)
    return result


def _prompts(spec: StormSpec, number: int) -> Iterator[_Prompt]:
    chance = random.Random(f"{spec.seed}/{number}")
    for place in range(spec.requests):
        word = f", {UNKNOWN_WORD}" if chance.random() < _UNENCODABLE else ""
        prompt = f"Storm {spec.seed}, round {number}, prompt {place}{word}."
        yield _Prompt(prompt, chance.randint(1, _MOST_TOKENS))


async def _round(
    spec: StormSpec,
    number: int,
    prompts: list[_Prompt],
    ledger: Ledger,
    gateway: GatewayProcess,
    troubles: Troubles,
    triton: RestartedTriton,
) -> None:
    """All clients of a round, each at its time, and the troubles beside them."""
    clients = _Clients(random.Random(f"{spec.seed}"), ledger)
    async with AsyncExitStack() as stack:
        await clients.connect(stack, gateway)
        beside = [asyncio.create_task(work) for work in (troubles.swap_settings(), troubles.hurt_predictor())]
        is_back = asyncio.Event()
        kill = asyncio.create_task(troubles.kill_triton(triton, spec.span_s * _KILL_AT, is_back))
        try:
            await asyncio.gather(*clients.arrivals(prompts, number, spec.span_s, is_back))
            await kill
        finally:
            for task in beside:
                task.cancel()
            await asyncio.gather(*beside, return_exceptions=True)


class _Clients:
    """Makes them, each of a random kind."""

    def __init__(self, chance: random.Random, ledger: Ledger) -> None:
        self._chance = chance
        self._ledger = ledger
        self._channels: list[grpc.aio.Channel] = []
        self._session: aiohttp.ClientSession

    async def connect(self, stack: AsyncExitStack, gateway: GatewayProcess) -> None:
        for place in range(_CHANNELS):
            options = [*CHANNEL_OPTIONS, ("grpc.use_local_subchannel_pool", 1), ("storm", place)]
            channel = grpc.aio.insecure_channel(gateway.grpc_address, options=options)
            self._channels.append(await stack.enter_async_context(channel))
        self._session = await stack.enter_async_context(
            aiohttp.ClientSession(f"http://{gateway.http_address}", connector=aiohttp.TCPConnector(limit=0))
        )

    def arrivals(
        self, prompts: list[_Prompt], number: int, span_s: float, is_back: asyncio.Event
    ) -> Iterator[Awaitable[None]]:
        """A coroutine per client; some clients take several of the prompts.

        Those that are due a while after Triton's death wait until it is back, however long that takes.
        """
        left = [(f"r{number}-{place}", prompt) for place, prompt in enumerate(prompts)]
        kinds = (
            (self._streamed, 30, 1),
            (self._whole, 6, 1),
            (self._several, 8, 4),
            (self._half_open, 6, 2),
            (self._generate, 15, 1),
            (self._openai, 15, 1),
            (self._hostile_stream, 8, 1),
            (self._hostile_among_others, 4, 3),
            (self._hostile_http, 8, 1),
        )
        while left:
            ((make, _, most),) = self._chance.choices(kinds, [weight for _, weight, _ in kinds])
            mine = [left.pop() for _ in range(min(len(left), self._chance.randint(1, most)))]
            due = self._chance.random()
            if due < _BACK_AT:
                yield self._at(due * span_s, None, make, mine)
            else:
                yield self._at((due - _BACK_AT) * span_s, is_back, make, mine)

    async def _at(
        self,
        due_s: float,
        after: asyncio.Event | None,
        make: Callable[[list[tuple[str, _Prompt]]], Awaitable[None]],
        mine: list[Any],
    ) -> None:
        if after is not None:
            await after.wait()
        await asyncio.sleep(due_s)
        try:
            async with asyncio.timeout(_GIVE_UP_S):
                await make(mine)
        except TimeoutError:
            self._ledger.problems.append(f"{[id for id, _ in mine]}: no end within {_GIVE_UP_S:g} s")

    async def _streamed(self, mine: list[tuple[str, _Prompt]]) -> None:
        """Alone on a stream: patient, slow, in a hurry, or soon gone."""
        chance = self._chance
        manner = chance.choices(
            (
                Manner(wants_status=chance.random() < 0.5),
                Manner(pause_s=0.03),
                Manner(timeout_s=chance.uniform(0.02, 0.6)),
                Manner(leaves_after=chance.randint(0, 10)),
            ),
            (4, 2, 3, 3),
        )[0]
        await self._converse(mine, manner, "" if manner.timeout_s is None else HURRIED)

    async def _whole(self, mine: list[tuple[str, _Prompt]]) -> None:
        await self._converse(mine, Manner(streams=False))

    async def _several(self, mine: list[tuple[str, _Prompt]]) -> None:
        await self._converse(mine, Manner(leaves_after=self._chance.choice((None, None, 7))))

    async def _half_open(self, mine: list[tuple[str, _Prompt]]) -> None:
        await self._converse(mine, Manner(half_closes=False))

    async def _converse(self, mine: list[tuple[str, _Prompt]], manner: Manner, allowed: str = "") -> None:
        asks = [self._ask(id, prompt, allowed) for id, prompt in mine]
        messages = [a_message(MODEL, ask, streams=manner.streams).SerializeToString() for ask in asks]
        await converse(self._channel(), self._ledger, asks, messages, manner)

    async def _generate(self, mine: list[tuple[str, _Prompt]]) -> None:
        await self._over_http(mine, http_clients.generate)

    async def _openai(self, mine: list[tuple[str, _Prompt]]) -> None:
        await self._over_http(mine, http_clients.complete)

    async def _over_http(self, mine: list[tuple[str, _Prompt]], send: Callable[..., Awaitable[None]]) -> None:
        ((id, prompt),) = mine
        leaves_after = self._chance.choice((None, None, None, self._chance.randint(1, 8)))
        streams = leaves_after is not None or self._chance.random() < 0.7
        await send(
            self._session,
            self._ledger,
            self._ask(id, prompt),
            MODEL,
            leaves_after=leaves_after,
            streams=streams,
        )

    async def _hostile_stream(self, mine: list[tuple[str, _Prompt]]) -> None:
        ((id, prompt),) = mine
        ask = self._ledger.ask_wrongly(id, _WRONG)
        (message,) = self._hostile(1, prompt, id)
        await converse(self._channel(), self._ledger, [ask], [message], Manner())

    async def _hostile_among_others(self, mine: list[tuple[str, _Prompt]]) -> None:
        """One bad message on a stream with good ones: it may end the stream, with its error for all."""
        (bad_id, bad_prompt), *good = mine
        asks = [self._ask(id, prompt, _WRONG) for id, prompt in good]
        messages = [a_message(MODEL, ask).SerializeToString() for ask in asks]
        (bad,) = self._hostile(1, bad_prompt, bad_id)
        messages.insert(self._chance.randint(0, len(messages)), bad)
        asks.append(self._ledger.ask_wrongly(bad_id, _WRONG))
        await converse(self._channel(), self._ledger, asks, messages, Manner())

    async def _hostile_http(self, mine: list[tuple[str, _Prompt]]) -> None:
        ((id, _),) = mine
        path, body = self._chance.choice(HOSTILE_HTTP)
        ask = self._ledger.ask_wrongly(id, _WRONG)
        await http_clients.send_anything(self._session, self._ledger, ask, path, body)

    def _hostile(self, number: int, prompt: _Prompt, id: str) -> list[bytes]:
        good = a_message(MODEL, Ask(id, prompt.prompt, prompt.output_tokens, ""))
        return self._chance.sample(list(hostile_messages(good, self._chance, MESSAGE_BYTES)), number)

    def _ask(self, id: str, prompt: _Prompt, allowed: str = "") -> Ask:
        return self._ledger.ask(id, prompt.prompt, prompt.output_tokens, allowed or "(?!)")

    def _channel(self) -> grpc.aio.Channel:
        return self._chance.choice(self._channels)


def _left_behind(gateway: GatewayProcess) -> list[str]:
    """What the gateway still holds after a while of silence; nothing, if all is well."""
    give_up_at = time.monotonic() + _SETTLE_S
    while left := _holdings(gateway):
        if time.monotonic() > give_up_at:
            return left
        time.sleep(0.1)
    counters = _counters(gateway)
    ended = sum(counters.get(name, 0) for name in ("completed", "cancelled", "failed", "rejected"))
    if ended != counters.get("received", 0):
        return [f"{counters.get('received')} requests came and {ended} ended"]
    return []


def _holdings(gateway: GatewayProcess) -> list[str]:
    status: dict[str, Any] = gateway.status()
    held = {name: status["queue"][name] for name in ("queued", "in_flight", "queued_bytes")}
    held["kv_blocks_reserved"] = status["engine"]["kv_blocks_reserved"]
    return [f"{name} is {value}" for name, value in held.items() if value]


def _counters(gateway: GatewayProcess) -> dict[str, int]:
    counters = gateway.status()["counters"]
    assert isinstance(counters, dict)
    return counters

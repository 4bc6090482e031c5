"""`Aggregator`: one loop that reads every gateway's `/status`, a bounded number at a time; some on request.

Status of a pool is looked at again only when what its gateways say together has changed in words.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial

import aiohttp

from sagesched_gateway.status import StatusError, parse_status
from sagesched_operator.api.lifecycle import ScalingSpec
from sagesched_operator.api.pool import parse_pool
from sagesched_operator.api.reading import SpecError
from sagesched_operator.build.paths import METRICS
from sagesched_operator.cluster.cache import Cache, PoolKey
from sagesched_operator.control.metrics import OperatorMetrics
from sagesched_operator.control.pods import PodView, view
from sagesched_operator.control.reports import FRESH_S, Report, Reports, summarize
from sagesched_operator.control.scaling_status import load_steps
from sagesched_operator.control.signal import Signal, SignalUnknownError, signal_of
from sagesched_operator.control.store import PoolStore

_LOG = logging.getLogger(__name__)

PERIOD_S = 5.0
_AT_ONCE = 64
_POOLS_AT_ONCE = 50
_TIMEOUT_S = 3.0
_SOON_S = 1.0
_MOST_BYTES = 1 << 20


class Aggregator:
    """Knows what the gateways said lately.

    Attributes:
        has_asked: set once every gateway that there was has been asked.
    """

    def __init__(
        self,
        pools: PoolStore,
        pods: Cache,
        metrics: OperatorMetrics,
        on_change: Callable[[PoolKey], None],
        *,
        period_s: float = PERIOD_S,
    ) -> None:
        """Prepare; `run` does the work.

        Args:
            pools: all pools.
            pods: of all pools.
            metrics: counts the questions.
            on_change: hears of pools whose gateways together say something else than before.
            period_s: between two rounds.
        """
        self._pools = pools
        self._pods = pods
        self._metrics = metrics
        self._on_change = on_change
        self._period_s = period_s
        self._reports: dict[str, Report] = {}
        self._said: dict[PoolKey, Hashable] = {}
        self._targets: dict[PoolKey, tuple[int, ScalingSpec]] = {}
        self._session: aiohttp.ClientSession | None = None
        self.has_asked = asyncio.Event()

    def reports(self) -> Reports:
        """The latest, by uid of the pod; what is older than `FRESH_S` is not among them."""
        return self._reports

    def signal(self, key: PoolKey) -> Signal:
        """What scaling of a pool goes by.

        Raises:
            SignalUnknownError: it cannot be told.
        """
        return self._signal(key, self._pods_of(key))

    def signals(self) -> Iterator[tuple[PoolKey, Signal]]:
        """Of all pools that have one."""
        for key in self._pods.pools():
            try:
                yield key, self.signal(key)
            except SignalUnknownError:
                continue

    async def run(self, pods_are_known: Callable[[], Awaitable[None]]) -> None:
        """Ask in rounds until cancelled; the first begins when it is known which pods there are."""
        await pods_are_known()
        async with self.asking():
            while True:
                began_at = asyncio.get_running_loop().time()
                await self.ask_all()
                self.has_asked.set()
                took_s = asyncio.get_running_loop().time() - began_at
                await asyncio.sleep(max(self._period_s - took_s, 0.1))

    @asynccontextmanager
    async def asking(self) -> AsyncIterator[None]:
        """Gateways can be asked inside; outside of it nobody is."""
        timeout = aiohttp.ClientTimeout(total=_TIMEOUT_S)
        connector = aiohttp.TCPConnector(limit=_AT_ONCE)
        async with aiohttp.ClientSession(timeout=timeout, connector=connector) as self._session:
            yield

    async def ask_all(self) -> None:
        """One round."""
        by_pool = {key: self._pods_of(key) for key in self._pods.pools()}
        await self._ask([pod for pods in by_pool.values() for pod in pods])
        there = {pod.uid for pods in by_pool.values() for pod in pods}
        now = asyncio.get_running_loop().time()
        self._reports = {
            uid: report
            for uid, report in self._reports.items()
            if uid in there and now - report.read_at <= FRESH_S
        }
        for number, (key, pods) in enumerate(by_pool.items()):
            if number % _POOLS_AT_ONCE == 0:
                await asyncio.sleep(0)  # probes and scalers wait meanwhile
            said = self._in_words(key, pods)
            if self._said.get(key) != said:
                self._said[key] = said
                self._on_change(key)
        self._said = {key: said for key, said in self._said.items() if key in by_pool}
        self._targets = {key: target for key, target in self._targets.items() if key in by_pool}

    async def ask_now(self, pods: Sequence[PodView]) -> Reports:
        """The latest, these pods asked anew; who does not answer soon keeps what it said last."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_SOON_S):
                await self._ask(pods)
        return self._reports

    async def _ask(self, pods: Sequence[PodView]) -> None:
        if self._session is not None:
            asking = partial(self._ask_one, self._session, asyncio.Semaphore(_AT_ONCE))
            await asyncio.gather(*(asking(pod) for pod in pods if pod.ip))

    async def _ask_one(
        self, session: aiohttp.ClientSession, permits: asyncio.Semaphore, pod: PodView
    ) -> None:
        host = f"[{pod.ip}]" if ":" in pod.ip else pod.ip
        async with permits:
            try:
                # Not followed elsewhere: a pod is not to choose what the operator asks.
                url = f"http://{host}:{METRICS}/status"
                async with session.get(url, allow_redirects=False) as answer:
                    answer.raise_for_status()
                    text = await _text_of(answer)
                status = parse_status(json.loads(text))
            except (aiohttp.ClientError, TimeoutError, OSError):
                self._metrics.reported("unreachable")
            except (ValueError, StatusError, RecursionError):
                self._metrics.reported("unreadable")
            else:
                self._metrics.reported("read")
                self._reports[pod.uid] = Report(status, asyncio.get_running_loop().time())

    def _pods_of(self, key: PoolKey) -> list[PodView]:
        return [view(seen.body) for seen in self._pods.of(key)]

    def _signal(self, key: PoolKey, pods: list[PodView]) -> Signal:
        return signal_of(self._scaling(key), pods, self._reports, asyncio.get_running_loop().time())

    def _scaling(self, key: PoolKey) -> ScalingSpec:
        """A pool's targets, read once per version of it."""
        known = self._pools.get(key)
        if known is None:
            raise SignalUnknownError(f"there is no pool {key[0]}/{key[1]}")
        version, scaling = self._targets.get(key, (-1, ScalingSpec()))
        if version != known.version:
            try:
                scaling = parse_pool(known.body).spec.scaling
            except SpecError as error:
                raise SignalUnknownError(str(error)) from error
            self._targets[key] = known.version, scaling
        return scaling

    def _in_words(self, key: PoolKey, pods: list[PodView]) -> Hashable:
        load: Hashable
        try:
            load = load_steps(self._signal(key, pods), self._scaling(key).target_backlog_seconds)
        except SignalUnknownError as error:
            load = str(error)
        return summarize(pods, self._reports), load


async def _text_of(answer: aiohttp.ClientResponse) -> bytes:
    """The whole body, which comes in as many parts as the network likes."""
    text = bytearray()
    async for part in answer.content.iter_any():
        text += part
        if len(text) > _MOST_BYTES:
            raise StatusError(f"a report of more than {_MOST_BYTES} bytes")
    return bytes(text)

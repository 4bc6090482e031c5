"""What goes wrong around a gateway: Triton is killed, the predictor killed or hung, the settings swapped.

That the predictor throws is the work of its encoder (`throwing_encoder`); here it is counted.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Self

from sagesched_emulator.config_mount import ConfigMount
from sagesched_emulator.demo.gateway_process import GatewayProcess, TritonAddresses
from sagesched_emulator.triton_server import TritonServer

POLICIES = ("fcfs", "ssjf", "sagesched", "gittins-boost")
_THROWS = 'sagesched_predictor_failures_total{reason="error"}'
_HANG_S = 1.0
_SWAP_EACH_S = 0.5
_PREDICTOR_EACH_S = 2.5


class RestartedTriton:
    """A Triton that is killed and comes back on the same ports; a context manager."""

    def __init__(self, profile: str, time_scale: float, answers: Path) -> None:
        self._profile = profile
        self._time_scale = time_scale
        self._answers = answers
        self._server = TritonServer(profile, time_scale=time_scale, answers=answers)

    @property
    def addresses(self) -> TritonAddresses:
        """Where it listens."""
        return TritonAddresses(
            grpc=self._server.grpc_address,
            http=self._server.http_address,
            metrics=self._server.metrics_address,
        )

    def __enter__(self) -> Self:
        self._server.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.__exit__(None, None, None)

    def kill_and_restart(self) -> None:
        """Kill it as the kernel would, and start another in its place; returns when that is ready."""
        old = self._server
        os.killpg(old.pid, signal.SIGKILL)
        old.__exit__(None, None, None)
        http, grpc, metrics = (
            int(address.rpartition(":")[2])
            for address in (old.http_address, old.grpc_address, old.metrics_address)
        )
        self._server = TritonServer(
            self._profile,
            time_scale=self._time_scale,
            answers=self._answers,
            http_port=http,
            grpc_port=grpc,
            metrics_port=metrics,
        )
        self._server.__enter__()


class Troubles:
    """Makes them, in turns, until it is cancelled.

    Attributes:
        done: how often each was made.
    """

    def __init__(
        self, gateway: GatewayProcess, mount: ConfigMount, config: dict[str, object], seed: int
    ) -> None:
        self.done: Counter[str] = Counter()
        self._gateway = gateway
        self._mount = mount
        self._config = config
        self._chance = random.Random(seed)

    async def swap_settings(self) -> None:
        """Another policy again and again, each third time nonsense."""
        while True:
            await asyncio.sleep(_SWAP_EACH_S)
            number = self.done["settings swapped"] = self.done["settings swapped"] + 1
            policy = "nonsense" if number % 3 == 0 else self._chance.choice(POLICIES)
            self._mount.swap(json.dumps(self._config | {"scheduling": {"policy": policy}}))

    async def hurt_predictor(self) -> None:
        """Kill it, or let it hang for a while."""
        while True:
            await asyncio.sleep(_PREDICTOR_EACH_S)
            for pid in self._gateway.children():
                with suppress(ProcessLookupError):
                    if self._chance.random() < 0.5:
                        self.done["predictor killed"] += 1
                        os.kill(pid, signal.SIGKILL)
                    else:
                        self.done["predictor hung"] += 1
                        os.kill(pid, signal.SIGSTOP)
                        await asyncio.sleep(_HANG_S)
                        os.kill(pid, signal.SIGCONT)

    def count_throws(self) -> None:
        """How often the gateway was told of an error of the predictor."""
        for line in self._gateway.metrics().splitlines():
            if line.startswith(_THROWS):
                self.done["predictor threw"] = round(float(line.rpartition(" ")[2]))

    async def kill_triton(self, triton: RestartedTriton, after_s: float, is_back: asyncio.Event) -> None:
        """Once; tells when it is back and the gateway knows."""
        await asyncio.sleep(after_s)
        self.done["Triton killed"] += 1
        began_at = time.monotonic()
        try:
            await asyncio.to_thread(triton.kill_and_restart)
            await asyncio.to_thread(self._wait_until_ready)
        finally:
            is_back.set()
        self.done["seconds without Triton"] += round(time.monotonic() - began_at)

    def _wait_until_ready(self) -> None:
        while not self._gateway.status()["ready"]:
            time.sleep(0.1)

"""A gateway as a user runs it: a process of its own in front of a Triton, asked and ended from outside."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import grpc

from sagesched_gateway.kserve import (
    SERVICE,
    ModelInferRequest,
    ModelStreamInferResponse,
    ServerReadyRequest,
    ServerReadyResponse,
)

WAIT_S = 60.0
Answer = ModelStreamInferResponse | tuple[str, str]


class Triton(Protocol):
    """Where a Triton listens."""

    grpc_address: str
    http_address: str
    metrics_address: str


def until(condition: Callable[[], object], wait_s: float = WAIT_S) -> None:
    """Wait for a state of another process."""
    give_up_at = time.monotonic() + wait_s
    while not condition():
        assert time.monotonic() < give_up_at, "waited in vain"
        time.sleep(0.02)


def settings_for(triton: Triton, **changes: Any) -> dict[str, Any]:
    """A gateway's settings: free ports on loopback, no predictor, and what the test is about."""
    return {
        "listen": dict.fromkeys(("grpc", "http", "metrics"), "127.0.0.1:0"),
        "triton": {
            "grpc": triton.grpc_address,
            "http": triton.http_address,
            "metrics": triton.metrics_address,
        },
        "scheduling": {"policy": "fcfs"},
        "predictor": {"mode": "None"},
    } | changes


class GatewayProcess:
    """`sagesched-gateway serve`, listening; end it with `close`, or with a signal and `exit_code`."""

    def __init__(
        self,
        settings: dict[str, Any],
        folder: Path,
        *options: str,
        program: tuple[str, ...] = ("-m", "sagesched_gateway.cli"),
    ) -> None:
        path = folder / "gateway.yaml"
        path.write_text(json.dumps(settings))
        self._log = (folder / "gateway.log").open("ab")
        self._process = subprocess.Popen(
            [sys.executable, *program, "serve", "--config", str(path), *options],
            stdout=subprocess.PIPE,
            stderr=self._log,
        )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, (folder / "gateway.log").read_text()
        addresses = json.loads(line)
        self.grpc_address: str = addresses["grpc"]
        self.http_address: str = addresses["http"]
        self.metrics: str = addresses["metrics"]

    def wait_ready(self, *, predictor: bool = False) -> None:
        """Until it wants work, and predicts."""
        until(lambda: self.is_ready)
        if predictor:
            until(lambda: self.status()["predictor"]["state"] == "ready")

    @property
    def is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://{self.metrics}/readyz", timeout=WAIT_S):
                return True
        except urllib.error.HTTPError:
            return False

    def status(self) -> dict[str, Any]:
        with urllib.request.urlopen(f"http://{self.metrics}/status", timeout=WAIT_S) as answer:
            report: dict[str, Any] = json.load(answer)
        return report

    def queue(self) -> tuple[int, int]:
        """Requests waiting in the gateway, and in the engine."""
        queue = self.status()["queue"]
        return queue["queued"], queue["in_flight"]

    def children(self) -> list[int]:
        """Its child processes: the predictor."""
        found: list[int] = []
        for thread in Path(f"/proc/{self._process.pid}/task").iterdir():
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # a thread that just ended
                found += map(int, (thread / "children").read_text().split())
        return found

    @property
    def pid(self) -> int:
        """Of its process."""
        return self._process.pid

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def exit_code(self) -> int:
        return self._process.wait(WAIT_S)

    def close(self) -> None:
        """End it, at once if need be."""
        try:
            for _ in range(2):
                if self._process.poll() is None:
                    self.signal(signal.SIGTERM)
                    time.sleep(0.05)
            self._process.wait(10)
        finally:
            self._process.kill()
            self._process.communicate()
            self._log.close()


class Exchange:
    """One request on a `ModelStreamInfer` stream of its own."""

    def __init__(
        self,
        address: str,
        message: ModelInferRequest,
        *,
        metadata: tuple[tuple[str, str], ...] = (),
        timeout: float | None = WAIT_S,
    ) -> None:
        self._channel = grpc.insecure_channel(address, options=[("grpc.max_receive_message_length", -1)])
        method = self._channel.stream_stream(
            f"/{SERVICE}/ModelStreamInfer",
            request_serializer=ModelInferRequest.SerializeToString,
            response_deserializer=ModelStreamInferResponse.FromString,
        )
        self._call = method(iter([message]), metadata=metadata, timeout=timeout)

    def next(self) -> ModelStreamInferResponse:
        return next(iter(self._call))

    def rest(self) -> list[Answer]:
        """What is still to come; a status that is not OK as (code, details)."""
        answers: list[Answer] = []
        try:
            answers += self._call
        except grpc.RpcError as error:
            answers.append((error.code().name, error.details()))
        self._channel.close()
        return answers

    def cancel(self) -> None:
        self._call.cancel()
        self._channel.close()


def unary(address: str, method: str, body: bytes = b"", *, service: str = SERVICE) -> bytes | tuple[str, str]:
    """The answer in bytes, or (code, details)."""
    with grpc.insecure_channel(address) as channel:
        try:
            answer: bytes = channel.unary_unary(f"/{service}/{method}")(body, timeout=WAIT_S)
        except grpc.RpcError as error:
            return error.code().name, error.details()
    return answer


def server_is_ready(address: str) -> bool:
    answer = unary(address, "ServerReady", ServerReadyRequest().SerializeToString())
    return isinstance(answer, bytes) and bool(ServerReadyResponse.FromString(answer).ready)


def is_alive(pid: int) -> bool:
    """Whether a process is there and has not ended."""
    try:
        os.kill(pid, 0)
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (ProcessLookupError, FileNotFoundError):
        return False

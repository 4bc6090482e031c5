"""A gateway of its own for one run: configured, started, asked for its queue, and stopped for certain."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from sagesched_emulator.demo.errors import StartError

START_WITHIN_S = 60.0
STOP_WITHIN_S = 8.0
POLL_S = 0.1
STATUS_TIMEOUT_S = 2.0
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True, kw_only=True)
class TritonAddresses:
    """Where a Triton listens, each `host:port`."""

    grpc: str
    http: str
    metrics: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """What the gateway knows of a prompt before it is sent.

    Attributes:
        encoder: folder of the exported predictor.
        history: warm history to start from, left as it is; None starts empty.
        enabled: False runs without a predictor.
        tokenizer: the served model's `tokenizer.json`, which counts prompts; None estimates them.
    """

    encoder: Path | None = None
    history: Path | None = None
    enabled: bool = True
    tokenizer: Path | None = None


def gateway_config(triton: TritonAddresses, policy: str, prediction: Prediction) -> dict[str, object]:
    """The gateway's configuration for one run: free ports on loopback, the policy, a fresh predictor."""
    predictor: dict[str, object] = {"mode": "None"}
    if prediction.enabled:
        predictor = {"device": "CPU", "encoder": str(prediction.encoder)}
        if prediction.history is not None:
            predictor["history"] = {"file": str(prediction.history)}
    counting = {} if prediction.tokenizer is None else {"tokenizer": str(prediction.tokenizer)}
    return counting | {
        "listen": {"grpc": "127.0.0.1:0", "http": "127.0.0.1:0", "metrics": "127.0.0.1:0"},
        "triton": {"grpc": triton.grpc, "http": triton.http, "metrics": triton.metrics},
        "scheduling": {"policy": policy},
        "predictor": predictor,
        "drain": {"maxSeconds": 1},
    }


class GatewayProcess:
    """`sagesched-gateway serve` as a context manager; inside it gateway and predictor are ready."""

    def __init__(
        self, config: dict[str, object], folder: Path, name: str, *, python: Sequence[str] = ()
    ) -> None:
        """Prepare a start.

        Args:
            config: the gateway's configuration.
            folder: where configuration and log go; must exist.
            name: what the two files are called after.
            python: arguments of a Python that serves instead of `sagesched-gateway`, `{config}` standing for
                the configuration's path.
        """
        self._config_path = folder / f"gateway-{name}.yaml"
        self._config_path.write_text(json.dumps(config, indent=2), encoding="utf-8")  # JSON is YAML
        self.log_path = folder / f"gateway-{name}.log"
        self._command = [str(Path(sys.executable).with_name("sagesched-gateway")), "serve", "--config"]
        self._command.append(str(self._config_path))
        if python:
            self._command = [sys.executable, *(part.format(config=self._config_path) for part in python)]
        self._process: subprocess.Popen[str] | None = None
        self._log: IO[str] | None = None
        self._ports: dict[str, str] = {}

    @property
    def grpc_address(self) -> str:
        """`host:port` for gRPC clients."""
        return self._ports["grpc"]

    @property
    def http_address(self) -> str:
        """`host:port` for HTTP clients."""
        return self._ports["http"]

    @property
    def pid(self) -> int:
        """Process id of the gateway; the predictor is another."""
        assert self._process is not None
        return self._process.pid

    def children(self) -> list[int]:
        """Its child processes: the predictor."""
        found: list[int] = []
        for thread in Path(f"/proc/{self.pid}/task").iterdir():
            with suppress(FileNotFoundError, ProcessLookupError):  # a thread that just ended
                found += map(int, (thread / "children").read_text().split())
        return found

    def rss_mib(self) -> float:
        """Memory of the gateway's process alone."""
        fields = Path(f"/proc/{self.pid}/statm").read_text(encoding="ascii").split()
        return int(fields[1]) * PAGE_BYTES / 2**20

    def status(self) -> dict[str, object]:
        """The gateway's own report.

        Raises:
            StartError: it does not answer.
        """
        try:
            report: dict[str, object] = json.loads(self._read("/status"))
        except ValueError as error:
            raise StartError(f"the gateway does not answer /status: {error}") from error
        return report

    def metrics(self) -> str:
        """Its series as Prometheus reads them.

        Raises:
            StartError: it does not answer.
        """
        return self._read("/metrics").decode()

    def _read(self, path: str) -> bytes:
        try:
            with urllib.request.urlopen(
                f"http://{self._ports['metrics']}{path}", timeout=STATUS_TIMEOUT_S
            ) as answer:
                body: bytes = answer.read()
        except OSError as error:
            raise StartError(f"the gateway does not answer {path}: {error}") from error
        return body

    def num_queued(self) -> int | None:
        """Requests waiting in the gateway now; None where it is too busy to say.

        Raises:
            StartError: it has ended.
        """
        try:
            queue = self.status()["queue"]
        except StartError:
            if self._process is None or self._process.poll() is not None:
                raise StartError(f"the gateway ended: {self._last_words()}") from None
            return None
        assert isinstance(queue, dict)
        return int(queue["queued"])

    def __enter__(self) -> GatewayProcess:
        self._log = self.log_path.open("w", encoding="utf-8")
        self._process = subprocess.Popen(
            self._command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            start_new_session=True,  # Ctrl-C goes to the demo, which then stops its children in order
        )
        try:
            give_up_at = time.monotonic() + START_WITHIN_S
            self._ports = self._announced_ports(give_up_at)
            while not self._ready():
                self._check_alive(give_up_at)
                time.sleep(POLL_S)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            stop(self._process)
            self._process = None
        if self._log is not None:
            self._log.close()

    def _announced_ports(self, give_up_at: float) -> dict[str, str]:
        assert self._process is not None
        assert self._process.stdout is not None
        while not select.select([self._process.stdout], [], [], POLL_S)[0]:
            self._check_alive(give_up_at)
        line = self._process.stdout.readline()
        try:
            ports = json.loads(line)
            return {face: _dialable(str(ports[face])) for face in ("grpc", "http", "metrics")}
        except (ValueError, KeyError, TypeError) as error:
            raise StartError(f"the gateway did not start: {self._last_words()}") from error

    def _ready(self) -> bool:
        try:
            url = f"http://{self.http_address}/v2/health/ready"
            with urllib.request.urlopen(url, timeout=STATUS_TIMEOUT_S):
                return predictor_ready(self.status())
        except urllib.error.HTTPError:
            return False
        except (OSError, StartError):
            return False

    def _check_alive(self, give_up_at: float) -> None:
        assert self._process is not None
        if self._process.poll() is not None:
            raise StartError(f"the gateway ended at its start: {self._last_words()}")
        if time.monotonic() > give_up_at:
            raise StartError(f"the gateway was not ready in {START_WITHIN_S:.0f} s: {self._last_words()}")

    def _last_words(self) -> str:
        lines = self.log_path.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        return lines[-1] if lines else "it said nothing"


def stop(process: subprocess.Popen[str]) -> None:
    """End a child: politely first, then for certain; returns when it is gone."""
    process.terminate()
    try:
        process.wait(STOP_WITHIN_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdout is not None:
        with suppress(OSError):
            process.stdout.close()


def predictor_ready(status: dict[str, object]) -> bool:
    """True where the predictor has loaded, or none is configured."""
    predictor = status.get("predictor")
    return isinstance(predictor, dict) and predictor.get("state") in ("ready", "off")


def _dialable(address: str) -> str:
    host, _, port = address.rpartition(":")
    return f"127.0.0.1:{port}" if host in ("", "0.0.0.0", "[::]") else address

"""`TritonServer`: a real tritonserver that serves the emulated engine for as long as a `with` lasts."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Self
from uuid import uuid4

from sagesched_emulator.engine_report import EngineReport, requests_path, samples_path
from sagesched_emulator.profiles import profile as profile_of
from sagesched_emulator.triton_install import TritonInstallation, ensure_triton, find_embedded_python
from sagesched_emulator.triton_model.probe import NotAnsweringError, is_ready, warm_up
from sagesched_emulator.triton_model.repository import EngineSettings, Layout, make_repository
from sagesched_emulator.triton_model.variables import ANSWERS_VARIABLE, REPORT_VARIABLE

START_TIMEOUT_S = 60.0
EXIT_TIMEOUT_S = 3
"""How long Triton waits for requests in flight when it is told to end."""

STOP_TIMEOUT_S = EXIT_TIMEOUT_S + 3.0
POLL_S = 0.05
PORT_TRIES = 3
LOG_TAIL_LINES = 8
LOG_LINE_CHARACTERS = 600
SHARED_MEMORY = Path("/dev/shm")
_MANAGEABLE = ("--model-control-mode=explicit", "--load-model=*")
OWN_PACKAGES = ("sagesched_emulator", "sagesched_gateway", "sagesched_predictor")


class TritonServerError(RuntimeError):
    """Triton did not start or did not stop; the message holds the end of its log."""


@dataclass(frozen=True, slots=True)
class _Ports:
    http: int
    grpc: int
    metrics: int


class TritonServer:
    """Starts on `__enter__`, which returns when all models are ready; ends and cleans up on `__exit__`."""

    def __init__(
        self,
        profile: str = "kv-bound",
        *,
        time_scale: float = 1.0,
        stream_interval: int = 1,
        answers: Path | None = None,
        layout: Layout | None = None,
        http_port: int = 0,
        grpc_port: int = 0,
        metrics_port: int = 0,
        log_path: Path | None = None,
        report_path: Path | None = None,
        start_timeout_s: float = START_TIMEOUT_S,
        manageable: bool = False,
    ) -> None:
        """Prepare; nothing runs yet.

        Args:
            profile: name of the engine profile.
            time_scale: wall seconds per engine second; 0.5 is twice as fast.
            stream_interval: a response per so many output tokens.
            answers: file made by `write_answers`; None draws every length.
            layout: which models stand before the engine; None for the classic ones.
            http_port: port on 127.0.0.1; 0 takes a free one, as for the other two.
            grpc_port: likewise.
            metrics_port: likewise.
            log_path: Triton's log; None keeps it in a temporary folder.
            report_path: the engine's report and, beside it, samples and requests; None as above.
            start_timeout_s: how long models may take to get ready.
            manageable: models can be loaded and unloaded by its management calls.

        Raises:
            ValueError: the profile is unknown or a number out of range.
        """
        self._profile = profile_of(profile)
        if not time_scale > 0 or stream_interval < 1:
            raise ValueError(
                "time_scale must be above 0 and stream_interval at least 1, "
                f"got {time_scale} and {stream_interval}"
            )
        self._time_scale = time_scale
        self._stream_interval = stream_interval
        self._answers = answers
        self._layout = layout or Layout()
        self._wanted = _Ports(http_port, grpc_port, metrics_port)
        self._log_path = log_path
        self._report_path = report_path
        self._start_timeout_s = start_timeout_s
        self._is_manageable = manageable
        self._folder: Path | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._ports = self._wanted
        self._prefix = ""
        self._last_report: EngineReport | None = None

    @property
    def grpc_address(self) -> str:
        """`host:port` of the gRPC service."""
        return f"127.0.0.1:{self._ports.grpc}"

    @property
    def http_address(self) -> str:
        """`host:port` of the HTTP service."""
        return f"127.0.0.1:{self._ports.http}"

    @property
    def metrics_address(self) -> str:
        """`host:port` of the metrics page."""
        return f"127.0.0.1:{self._ports.metrics}"

    @property
    def pid(self) -> int:
        """Process id of tritonserver, which leads a process group of its own.

        Raises:
            TritonServerError: it is not running.
        """
        if self._process is None:
            raise TritonServerError("tritonserver is not running")
        return self._process.pid

    def check_alive(self) -> None:
        """Make sure that the server still runs.

        Raises:
            TritonServerError: it has ended by itself.
        """
        if self._process is None or self._process.poll() is not None:
            raise TritonServerError(f"tritonserver has ended unexpectedly:\n{self._log_tail()}")

    def report(self) -> EngineReport:
        """What the engine says so far, at most half a second old; the whole of it once the server has ended.

        Raises:
            TritonServerError: the server was never started or left no report.
        """
        if self._last_report is not None:
            return self._last_report
        try:
            return EngineReport.load(self._report_file())
        except (OSError, ValueError) as error:
            raise TritonServerError(f"the emulated engine has left no report: {error}") from error

    def __enter__(self) -> Self:
        """Start and wait until all models are ready.

        Raises:
            TritonInstallError: Triton cannot be installed or run here.
            TritonServerError: it did not start; nothing of it is left behind.
        """
        installation = ensure_triton()
        self._folder = Path(tempfile.mkdtemp(prefix="sagesched-triton-"))
        self._last_report = None
        try:
            self._start(installation)
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """End the server, keep its report, remove everything else."""
        self._end()

    def _start(self, installation: TritonInstallation) -> None:
        settings = EngineSettings(
            profile=self._profile,
            time_scale=self._time_scale,
            stream_interval=self._stream_interval,
            layout=self._layout,
        )
        report = self._report_file()
        report.touch()  # where it cannot be written, that is told now
        for stale in (report, samples_path(report), requests_path(report)):
            stale.unlink(missing_ok=True)
        make_repository(self._temporary() / "repository", settings)
        for attempt in range(1, PORT_TRIES + 1):
            self._launch(installation)
            try:
                self._wait_until_ready()
                return
            except TritonServerError:
                # Between choosing a free port and binding it, another process may have taken it.
                if attempt == PORT_TRIES or not self._port_was_taken():
                    raise
                self._end_process()

    def _launch(self, installation: TritonInstallation) -> None:
        self._ports = _Ports(*_free_ports((self._wanted.http, self._wanted.grpc, self._wanted.metrics)))
        self._prefix = f"sagesched_{uuid4().hex[:12]}_"
        command = [
            str(installation.server),
            f"--model-repository={self._temporary() / 'repository'}",
            f"--backend-directory={installation.backends}",
            f"--backend-config=python,shm-region-prefix-name={self._prefix}",
            f"--http-port={self._ports.http}",
            f"--grpc-port={self._ports.grpc}",
            f"--metrics-port={self._ports.metrics}",
            *(f"--{service}-address=127.0.0.1" for service in ("http", "grpc", "metrics")),
            f"--exit-timeout-secs={EXIT_TIMEOUT_S}",
            "--http-thread-count=2",
            "--allow-gpu-metrics=false",
            "--allow-cpu-metrics=false",
            "--pinned-memory-pool-byte-size=0",
            *(_MANAGEABLE if self._is_manageable else ()),
        ]
        with self._log_file().open("wb") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=_environment(installation) | self._engine_files(),
                cwd=self._temporary(),
                start_new_session=True,
            )

    def _engine_files(self) -> dict[str, str]:
        """What only the engine may know: a model's configuration can be read by every client."""
        files = {REPORT_VARIABLE: str(self._report_file())}
        if self._answers is not None:
            files[ANSWERS_VARIABLE] = str(self._answers.resolve())
        return files

    def _wait_until_ready(self) -> None:
        """Poll until all models are loaded, then have each answer once.

        Raises:
            TritonServerError: the server ended, took too long, or does not answer.
        """
        assert self._process is not None
        deadline = time.monotonic() + self._start_timeout_s
        while not is_ready(self._ports.http):
            if self._process.poll() is not None:
                raise TritonServerError(
                    f"tritonserver ended with status {self._process.returncode} while starting:\n"
                    f"{self._log_tail()}"
                )
            if time.monotonic() > deadline:
                raise TritonServerError(
                    f"tritonserver was not ready within {self._start_timeout_s:.0f} s:\n{self._log_tail()}"
                )
            time.sleep(POLL_S)
        try:
            warm_up(self._ports.http, self._layout.name)
        except NotAnsweringError as error:
            raise TritonServerError(f"tritonserver started but {error}:\n{self._log_tail()}") from error

    def _end(self) -> None:
        """End the process, keep the report, remove the temporary folder."""
        try:
            self._end_process()
            with contextlib.suppress(OSError, ValueError):  # there is none when it never got so far
                self._last_report = EngineReport.load(self._report_file())
        finally:
            if self._folder is not None:
                shutil.rmtree(self._folder, ignore_errors=True)
                self._folder = None

    def _end_process(self) -> None:
        """Ask the server to end, kill what is left of its group, and free its shared memory."""
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            for region in SHARED_MEMORY.glob(f"{self._prefix}*"):
                region.unlink(missing_ok=True)

    def _temporary(self) -> Path:
        assert self._folder is not None
        return self._folder

    def _log_file(self) -> Path:
        return self._log_path or self._temporary() / "triton.log"

    def _report_file(self) -> Path:
        if self._report_path is not None:
            return self._report_path.resolve()
        if self._folder is None:
            raise TritonServerError("tritonserver has not been started")
        return self._folder / "engine_report.json"

    def _log_tail(self) -> str:
        """The latest errors in the log, or its last lines where it has none."""
        lines = self._log_file().read_text(encoding="utf-8", errors="replace").splitlines()
        errors = [line for line in lines if line.startswith(("E", "error"))]
        return "\n".join(line[:LOG_LINE_CHARACTERS] for line in (errors or lines)[-LOG_TAIL_LINES:])

    def _port_was_taken(self) -> bool:
        free = 0 in (self._wanted.http, self._wanted.grpc, self._wanted.metrics)
        log = self._log_file().read_text(encoding="utf-8", errors="replace")
        return free and ("already in use" in log or "is unavailable" in log or "Address in use" in log)


def _environment(installation: TritonInstallation) -> dict[str, str]:
    """What tritonserver and its stubs get: little, and nothing of this interpreter's own packages."""
    python = find_embedded_python()
    inherited = {name: os.environ[name] for name in ("HOME", "LANG", "TZ", "TMPDIR") if name in os.environ}
    return {
        **inherited,
        "PATH": os.defpath,
        "LD_LIBRARY_PATH": os.pathsep.join([str(installation.libraries), str(python.library_folder)]),
        "PYTHONHOME": str(python.home),
        "PYTHONUNBUFFERED": "1",
        "SAGESCHED_TRITON_PYTHONPATH": os.pathsep.join([str(installation.site), *_package_roots()]),
        "GLIBC_TUNABLES": "glibc.malloc.tcache_count=1000",  # Triton allocates many small things per response
        "OPENBLAS_NUM_THREADS": "1",
        "TOKENIZERS_PARALLELISM": "false",
    }


def _package_roots() -> list[str]:
    """Folders from which Triton's interpreter imports the project's own packages."""
    roots = []
    for package in OWN_PACKAGES:
        spec = importlib.util.find_spec(package)
        assert spec is not None
        assert spec.submodule_search_locations
        roots.append(str(Path(spec.submodule_search_locations[0]).resolve().parent))
    return list(dict.fromkeys(roots))


def _free_ports(wanted: tuple[int, ...]) -> list[int]:
    """The ports asked for, any free ones in place of 0; all held at once so that they differ.

    Raises:
        TritonServerError: a port asked for is taken. Whoever has it might answer in our server's stead.
    """
    with contextlib.ExitStack() as held:
        ports = []
        for port in wanted:
            listener = held.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                listener.bind(("127.0.0.1", port))
            except OSError as error:
                raise TritonServerError(
                    f"port {port} of 127.0.0.1 cannot be had ({error.strerror}); "
                    "choose another, or 0 for a free one"
                ) from None
            ports.append(int(listener.getsockname()[1]))
        return ports

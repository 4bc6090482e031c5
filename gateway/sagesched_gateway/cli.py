"""`sagesched-gateway`: serve, check a settings file, and what a pod needs at its beginning and end."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from sagesched_gateway.settings.config import GatewayConfig
from sagesched_gateway.settings.config_file import ConfigFileError, load_config
from sagesched_gateway.settings.sections.engine import KV_POLICIES

_Command = Callable[[argparse.Namespace], int]

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
         SIGHUP reads FILE again at once. SIGUSR1 drains and stays, as `drain` asks.
exit codes: 0 drained, 1 cannot start or cut short, 2 bad usage or bad settings."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    options = _parser().parse_args(arguments)
    code: int = options.command(options)
    return code


def _with_settings(command: Callable[[GatewayConfig, argparse.Namespace], int]) -> _Command:
    def run(options: argparse.Namespace) -> int:
        try:
            config = load_config(options.config)
        except ConfigFileError as error:
            return _complain(str(error), 2)
        return command(config, options)

    return run


def _serve(config: GatewayConfig, options: argparse.Namespace) -> int:
    # Imported here: checking a file needs neither gRPC nor aiohttp.
    import uvloop

    from sagesched_gateway.logs import start_logging
    from sagesched_gateway.parts import StartError
    from sagesched_gateway.pod.farewell import Farewell
    from sagesched_gateway.server import serve

    start_logging(config.log)
    farewell = Farewell(
        drained_file=options.drained_file,
        settle_s=options.settle_seconds,
        parting_s=options.parting_seconds,
    )
    try:
        return uvloop.run(serve(config, options.config, farewell))
    except StartError as error:
        return _complain(str(error), 1)


def _check(config: GatewayConfig, _: argparse.Namespace) -> int:
    from sagesched_gateway.settings.check import find_problems, shown

    problems = find_problems(config)
    for problem in problems:
        _complain(problem, 2)
    if problems:
        return 2
    print(shown(config))
    return 0


def _drain(options: argparse.Namespace) -> int:
    from sagesched_gateway.pod.farewell import DrainError, drain_and_wait

    try:
        drain_and_wait(options.pid, options.drained_file, options.timeout)
    except (DrainError, OSError) as error:
        return _complain(str(error), 1)
    return 0


def _repository(options: argparse.Namespace) -> int:
    from sagesched_gateway.pod.repository import RepositoryError, lay_out

    try:
        changed = lay_out(options.source, options.target, options.kv_policy)
    except (RepositoryError, OSError) as error:
        return _complain(str(error), 1)
    print(
        f"KV policy {options.kv_policy} in {', '.join(changed) or 'no file: this engine has no such choice'}"
    )
    return 0


def _digest(options: argparse.Namespace) -> int:
    from sagesched_gateway.pod.folder_digest import DigestError, check_folder, folder_digest

    try:
        if options.expect is None:
            print(folder_digest(options.folder))
        else:
            check_folder(options.folder, options.expect)
    except (DigestError, OSError) as error:
        return _complain(str(error), 1)
    return 0


def _complain(message: str, code: int) -> int:
    for line in message.splitlines():
        print(f"sagesched-gateway: {line}", file=sys.stderr)
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
        ("serve", _with_settings(_serve), "listen and serve until a signal ends it"),
        (
            "check",
            _with_settings(_check),
            "read the settings file, say what is wrong, print the settings in full",
        ),
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
        if name == "serve":
            _add_farewell(sub)
    _add_pod_commands(commands)
    return parser


def _add_farewell(serve: argparse.ArgumentParser) -> None:
    serve.add_argument(
        "--drained-file", type=Path, metavar="FILE", help="made when a drain asked for by SIGUSR1 is done"
    )
    serve.add_argument(
        "--settle-seconds",
        type=float,
        default=0.0,
        metavar="SECONDS",
        help="after SIGUSR1, still take requests for so long (%(default)g)",
    )
    serve.add_argument(
        "--parting-seconds",
        type=float,
        default=0.0,
        metavar="SECONDS",
        help="and then until all connections have ended by age, at most for so long (%(default)g)",
    )


def _add_pod_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    meaning = "ask a running gateway to drain and wait until it has: a pod's preStop hook"
    drain = commands.add_parser("drain", help=meaning, description=meaning)
    drain.set_defaults(command=_drain)
    drain.add_argument("--drained-file", type=Path, required=True, metavar="FILE", help="as given to `serve`")
    drain.add_argument("--pid", type=int, default=1, help="of the gateway (%(default)s)")
    drain.add_argument(
        "--timeout", type=float, default=330.0, metavar="SECONDS", help="longest wait (%(default)g)"
    )
    meaning = "link a model's files as Triton's model repository, with the engine's KV policy written in"
    repository = commands.add_parser("repository", help=meaning, description=meaning)
    repository.set_defaults(command=_repository)
    repository.add_argument("--source", type=Path, required=True, metavar="FOLDER", help="the model's files")
    repository.add_argument("--target", type=Path, required=True, metavar="FOLDER", help="is emptied first")
    repository.add_argument("--kv-policy", choices=KV_POLICIES, required=True)
    meaning = "the digest of a folder's files, as a pool's `digest` fields want it"
    digest = commands.add_parser("digest", help=meaning, description=meaning)
    digest.set_defaults(command=_digest)
    digest.add_argument("folder", type=Path, metavar="FOLDER", help="the model's or predictor's files")
    digest.add_argument("--expect", metavar="DIGEST", help="print nothing, and fail where it is another one")


if __name__ == "__main__":
    sys.exit(main())

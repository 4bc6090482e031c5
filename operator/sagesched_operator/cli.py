"""`sagesched-operator`: run, render a pool, print the CRD."""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

from sagesched_operator.api.crd import definition
from sagesched_operator.build.surroundings import OPTIONAL_KINDS, Capabilities, Installation
from sagesched_operator.render import RenderError, render
from sagesched_operator.yaml_text import to_yaml

_DESCRIPTION = """\
The SageSched operator: makes Triton pods with a gateway in front of each from one resource,
LLMServingPool, keeps them as wanted, and says in the resource's status how they are."""

_EPILOG = """\
examples:
  sagesched-operator render -f pool.yaml      every object that would be applied, offline
  sagesched-operator crd                      the CustomResourceDefinition
  sagesched-operator run                      act; in a pod by its service account, else by KUBECONFIG

exit codes: 0 all is well, 1 cannot run, 2 bad usage or a pool that is refused."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    options = _parser().parse_args(arguments)
    code: int = options.command(options)
    return code


def _render(options: argparse.Namespace) -> int:
    capabilities = Capabilities(frozenset(OPTIONAL_KINDS) - set(options.without))
    try:
        text = sys.stdin.read() if str(options.file) == "-" else options.file.read_text(encoding="utf-8")
        print(render(options.file, text, _installation(options), capabilities), end="")
    except OSError as error:
        return _complain(f"{options.file}: cannot be read: {error.strerror}", 2)
    except RenderError as error:
        return _complain(str(error), 2)
    return 0


def _crd(_: argparse.Namespace) -> int:
    print(to_yaml([definition()]).removeprefix("---\n"), end="")
    return 0


def _run(options: argparse.Namespace) -> int:
    # Imported here: rendering needs neither a cluster's client nor kopf.
    from sagesched_operator.run import Operator, RunOptions

    _start_logging(options.log_level, options.log_format)
    kubeconfig = os.environ.get("KUBECONFIG")
    is_in_pod = "KUBERNETES_SERVICE_HOST" in os.environ and not kubeconfig
    if not is_in_pod and not kubeconfig:
        kubeconfig = str(Path.home() / ".kube" / "config")
        os.environ["KUBECONFIG"] = kubeconfig  # kopf's login reads it
    run_options = RunOptions(
        kubeconfig=None if is_in_pod else Path(str(kubeconfig)),
        namespaces=tuple(options.namespace),
        web_address=options.web_address,
        scaler_address=options.scaler_listen,
        reports_each_s=options.reports_each,
        lease_name=options.lease_name,
        installation=_installation(options),
    )

    async def work() -> None:
        await Operator(run_options).run()

    try:
        asyncio.run(work())
    except OSError as error:
        return _complain(f"cannot start: {error}", 1)
    return 0


class _JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
            + f".{record.msecs:03.0f}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


def _start_logging(level: str, format_: str) -> None:
    handler = logging.StreamHandler(sys.stderr)
    text = logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s")
    handler.setFormatter(_JsonFormatter() if format_ == "json" else text)
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    logging.getLogger("kopf").setLevel(logging.WARNING)  # it tells of every event


def _installation(options: argparse.Namespace) -> Installation:
    known = {item.name for item in fields(Installation)} - {"namespace"}
    given = {name: value for name, value in vars(options).items() if name in known and value is not None}
    for name in ("operator_labels", "monitor_labels"):
        pairs = [pair.partition("=")[::2] for pair in given.get(name, "").split(",") if pair]
        given[name] = tuple((key, value) for key, value in pairs)
    return Installation(namespace=options.namespace_of_operator, **given)


def _complain(message: str, code: int) -> int:
    print(f"sagesched-operator: {message}", file=sys.stderr)
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="sagesched-operator",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    run = commands.add_parser("run", help="act on the cluster until SIGTERM")
    run.set_defaults(command=_run)
    run.add_argument(
        "--namespace",
        action="append",
        default=[],
        metavar="NAME",
        help="look into this namespace only; may be given several times; without it the whole cluster",
    )
    run.add_argument("--web-address", default="0.0.0.0:8080", help="metrics and probes (%(default)s)")
    run.add_argument(
        "--scaler-listen",
        dest="scaler_listen",
        default="0.0.0.0:9090",
        metavar="ADDRESS",
        help="KEDA's external scaler (%(default)s)",
    )
    run.add_argument("--lease-name", default="sagesched-operator", help="Lease for leadership (%(default)s)")
    run.add_argument(
        "--reports-each",
        type=float,
        default=5.0,
        metavar="SECONDS",
        help="how often gateways are asked for their status (%(default)s)",
    )
    run.add_argument("--log-level", choices=("debug", "info", "warning", "error"), default="info")
    run.add_argument("--log-format", choices=("text", "json"), default="text")
    look = commands.add_parser("render", help="print every object that would be applied for a pool, offline")
    look.set_defaults(command=_render)
    look.add_argument("-f", "--file", type=Path, required=True, help="YAML with pools; - for standard input")
    look.add_argument(
        "--without",
        action="append",
        default=[],
        choices=OPTIONAL_KINDS,
        metavar="KIND",
        help="take this kind for not installed; one of " + ", ".join(OPTIONAL_KINDS),
    )
    for sub in (run, look):
        _add_installation(sub)
    crd = commands.add_parser("crd", help="print the CustomResourceDefinition")
    crd.set_defaults(command=_crd)
    return parser


def _add_installation(parser: argparse.ArgumentParser) -> None:
    default = Installation()
    group = parser.add_argument_group("installation")
    for name, meaning in (
        ("gateway_image", "image of the gateway"),
        ("gateway_gpu_image", "image of the gateway with the predictor on a GPU"),
        ("fetch_image", "image that fetches model.source.uri"),
        ("monitoring_namespace", "where Prometheus runs; empty for any namespace"),
        ("scaler_address", "external scaler as KEDA reaches it"),
    ):
        group.add_argument(
            f"--{name.replace('_', '-')}", default=getattr(default, name), help=f"{meaning} (%(default)s)"
        )
    group.add_argument(
        "--operator-namespace",
        dest="namespace_of_operator",
        default=os.environ.get("POD_NAMESPACE", default.namespace),
        help="where the operator runs (%(default)s)",
    )
    group.add_argument(
        "--operator-labels",
        default=",".join("=".join(pair) for pair in default.operator_labels),
        help="labels of the operator's pods (%(default)s)",
    )
    group.add_argument(
        "--monitor-labels",
        default="",
        metavar="KEY=VALUE,...",
        help="labels by which Prometheus finds PodMonitors and PrometheusRules",
    )
    group.add_argument(
        "--dns-ports",
        type=_ports,
        default=default.dns_ports,
        metavar="PORT,...",
        help="that the cluster's name service listens on in its pods: 53, on OpenShift 5353 (53)",
    )
    group.add_argument(
        "--allow-host-path",
        dest="allows_host_path",
        action="store_true",
        help="pools may use folders of nodes",
    )


def _ports(text: str) -> tuple[int, ...]:
    ports = tuple(int(port) for port in text.split(",") if port.isdecimal())
    if len(ports) != len(text.split(",")) or not all(1 <= port <= 65535 for port in ports):
        raise argparse.ArgumentTypeError(f"must be ports from 1 to 65535, with commas between: {text!r}")
    return ports


if __name__ == "__main__":
    sys.exit(main())

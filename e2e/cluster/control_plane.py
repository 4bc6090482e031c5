"""`ControlPlane`: etcd and Kubernetes' control plane on free loopback ports for as long as a `with` lasts.

There is no kubelet: pods are stored and scheduled but never run.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from kubernetes import client
from kubernetes import config as kubernetes_config

from cluster import audit, commands, credentials
from cluster.daemon import Daemon
from cluster.errors import ClusterError, StartError
from cluster.kubectl import Kubectl, captured
from cluster.plane_files import write_plane_files
from cluster.ports import free_ports
from cluster.questions import answers_well
from cluster.tools import Tools, ensure_tools

START_TIMEOUT_S = 90.0
KUBECTL_TIMEOUT_S = 120
PORT_TRIES = 3
DEFAULT_ACCOUNT = "/api/v1/namespaces/default/serviceaccounts/default"


class ControlPlane(Kubectl):
    """Starts on `__enter__`, which returns when all is ready to use; throws all away on exit."""

    def __init__(
        self,
        *,
        tools: Tools | None = None,
        audits: bool = True,
        schedules: bool = True,
        api_server_flags: Sequence[str] = (),
        keep: Path | None = None,
    ) -> None:
        """Prepare; nothing runs yet.

        Args:
            tools: the programs; None finds or builds them.
            audits: write down every request, for `requests()`.
            schedules: run kube-scheduler, which says why a pod cannot be placed.
            api_server_flags: more flags of kube-apiserver.
            keep: folder for state and logs that stays afterwards; None takes a temporary one.
        """
        self._tools = tools
        self._audits = audits
        self._schedules = schedules
        self._flags = tuple(api_server_flags)
        self._keep = keep
        self._layout: commands.Layout | None = None
        self._tokens: dict[str, str] = {}
        self._daemons: dict[str, Daemon] = {}

    @property
    def tools(self) -> Tools:
        """The programs in use.

        Raises:
            ToolError: one of them is missing and cannot be built.
        """
        if self._tools is None:
            self._tools = ensure_tools()
        return self._tools

    @property
    def layout(self) -> commands.Layout:
        """Addresses and files.

        Raises:
            ClusterError: nothing has been started.
        """
        if self._layout is None:
            raise ClusterError("the control plane has not been started")
        return self._layout

    @property
    def url(self) -> str:
        """Where the API server listens."""
        return self.layout.url

    @property
    def kubeconfig(self) -> Path:
        """Of a user who may do everything."""
        return self.layout.kubeconfig("admin")

    def admin(self) -> client.ApiClient:
        """A client of the official library that may do everything; close it after use."""
        return kubernetes_config.new_client_from_config(str(self.kubeconfig))

    def run(
        self, program: str, *arguments: str, stdin: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run kubectl or helm as admin; a failure is for the caller to see."""
        command = [self.tools[program], *arguments, f"--kubeconfig={self.kubeconfig}"]
        return captured(command, stdin, KUBECTL_TIMEOUT_S)

    def kubeconfig_of(self, namespace: str, service_account: str) -> Path:
        """A kubeconfig that acts as a service account, by a token of two hours; returns the file."""
        token = self.kubectl("create", "token", service_account, "-n", namespace, "--duration=2h").strip()
        file = self.layout.kubeconfig(f"{namespace}-{service_account}")
        return credentials.write_kubeconfig(file, self.url, self.layout.authority, token, namespace)

    def requests(self, user: str = "") -> list[audit.Request]:
        """What the API server has answered so far, oldest first.

        Args:
            user: of this user only, for example `system:serviceaccount:NAMESPACE:NAME`.
        """
        everybody = audit.read_requests(self.layout.audit_log)
        return [request for request in everybody if user in ("", request.user)]

    def stop_api_server(self) -> None:
        """Take the API server away, as a crash would; everything else goes on."""
        self._daemons["kube-apiserver"].kill()

    def start_api_server(self) -> None:
        """Bring the API server back at the same address with the same data; returns when it is ready.

        Raises:
            StartError: it did not come.
        """
        server = self._daemons["kube-apiserver"]
        server.start()
        server.wait_until(lambda: self._answers("/readyz"), START_TIMEOUT_S)

    def __enter__(self) -> Self:
        """Start everything.

        Raises:
            ToolError: a program is missing and cannot be built.
            StartError: something did not start; nothing of it is left behind.
        """
        tools = self.tools
        folder = self._keep or Path(tempfile.mkdtemp(prefix="sagesched-cluster-"))
        try:
            self._start_server(tools, folder)
            self._start_controllers(tools)
        except BaseException:
            self._end(folder)
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """End everything and remove its state."""
        self._end(self.layout.folder)

    def _start_server(self, tools: Tools, folder: Path) -> None:
        for attempt in range(1, PORT_TRIES + 1):
            api_port, etcd_port, peer_port = free_ports(3)
            self._layout = commands.Layout(folder, api_port, etcd_port, peer_port)
            self._tokens = write_plane_files(self._layout)
            self._add("etcd", commands.etcd(tools, self._layout)).start()
            command = commands.api_server(tools, self._layout, audits=self._audits, extra=self._flags)
            self._add("kube-apiserver", command)
            try:
                self.start_api_server()
                return
            except StartError:
                # Between choosing a free port and binding it, another process may have taken it.
                if attempt == PORT_TRIES or not self._port_was_taken():
                    raise
                self._stop_daemons()
                shutil.rmtree(folder / "etcd", ignore_errors=True)

    def _start_controllers(self, tools: Tools) -> None:
        command = commands.controller_manager(tools, self.layout, (commands.NO_NODE_LIFECYCLE,))
        manager = self._add("kube-controller-manager", command)
        manager.start()
        if self._schedules:
            self._add("kube-scheduler", commands.scheduler(tools, self.layout)).start()
        manager.wait_until(lambda: self._answers(DEFAULT_ACCOUNT), START_TIMEOUT_S)

    def _add(self, name: str, command: Sequence[str]) -> Daemon:
        daemon = self._daemons[name] = Daemon(name, command, self.layout.folder / "log" / f"{name}.log")
        return daemon

    def _answers(self, path: str) -> bool:
        return answers_well(self.url + path, self.layout.authority, self._tokens["admin"])

    def _port_was_taken(self) -> bool:
        logs = (file.read_text(errors="replace") for file in (self.layout.folder / "log").glob("*.log"))
        return any("address already in use" in text for text in logs)

    def _stop_daemons(self) -> None:
        for daemon in reversed(self._daemons.values()):
            daemon.stop()
        self._daemons.clear()

    def _end(self, folder: Path) -> None:
        self._stop_daemons()
        self._layout = None
        if self._keep is None:
            shutil.rmtree(folder, ignore_errors=True)

"""Command lines of the control plane's programs, with the reason of every unusual flag."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cluster.credentials import FRONT_PROXY
from cluster.ports import LOOPBACK
from cluster.tools import Tools

SERVICE_RANGE = "10.96.0.0/16"
ISSUER = "https://kubernetes.default.svc"


@dataclass(frozen=True, slots=True)
class Layout:
    """Where a control plane keeps its files and listens.

    Attributes:
        folder: state, logs and kubeconfigs.
        api_port: of the API server.
        etcd_port: of etcd, for clients; always on loopback.
        etcd_peer_port: of etcd, for peers that never come.
        address: of the API server; pods reach it where it is not loopback.
    """

    folder: Path
    api_port: int
    etcd_port: int
    etcd_peer_port: int
    address: str = LOOPBACK

    @property
    def url(self) -> str:
        """Where the API server listens."""
        return f"https://{self.address}:{self.api_port}"

    @property
    def certificates(self) -> Path:
        """Keys and certificates."""
        return self.folder / "certs"

    @property
    def authority(self) -> Path:
        """Certificate that the API server's own is checked with."""
        return self.certificates / "apiserver.crt"

    @property
    def front_proxy(self) -> tuple[Path, Path, Path]:
        """Authority, certificate and key by which API servers behind the API server know it."""
        at = self.certificates
        return at / "front-proxy-ca.crt", at / "front-proxy-client.crt", at / "front-proxy-client.key"

    @property
    def audit_log(self) -> Path:
        """One line per answered request."""
        return self.folder / "audit.log"

    def kubeconfig(self, name: str) -> Path:
        """Of one of the users in `credentials`."""
        return self.folder / f"{name}.kubeconfig"


def etcd(tools: Tools, at: Layout) -> list[str]:
    """One member that keeps nothing beyond its process."""
    for_clients, for_peers = (f"http://{LOOPBACK}:{port}" for port in (at.etcd_port, at.etcd_peer_port))
    return [
        tools["etcd"],
        f"--data-dir={at.folder / 'etcd'}",
        f"--listen-client-urls={for_clients}",
        f"--advertise-client-urls={for_clients}",
        f"--listen-peer-urls={for_peers}",
        f"--initial-advertise-peer-urls={for_peers}",
        f"--initial-cluster=default={for_peers}",
        "--unsafe-no-fsync",  # the data is thrown away
        "--log-level=warn",
    ]


def api_server(tools: Tools, at: Layout, *, audits: bool, extra: Sequence[str] = ()) -> list[str]:
    """An API server with RBAC, static tokens and a certificate of its own making."""
    command = [
        tools["kube-apiserver"],
        f"--etcd-servers=http://{LOOPBACK}:{at.etcd_port}",
        f"--bind-address={at.address}",
        f"--advertise-address={at.address}",
        f"--secure-port={at.api_port}",
        f"--cert-dir={at.certificates}",
        f"--service-cluster-ip-range={SERVICE_RANGE}",
        f"--service-account-issuer={ISSUER}",
        f"--service-account-key-file={at.certificates / 'sa.pub'}",
        f"--service-account-signing-key-file={at.certificates / 'sa.key'}",
        f"--token-auth-file={at.folder / 'tokens.csv'}",
        "--authorization-mode=Node,RBAC",
        *extra,
    ]
    if at.address == LOOPBACK:
        command.append("--endpoint-reconciler-type=none")  # it refuses a loopback address
    if audits:
        command += [f"--audit-policy-file={at.folder / 'audit.yaml'}", f"--audit-log-path={at.audit_log}"]
    return command


def aggregation(at: Layout) -> list[str]:
    """Flags by which an API server lets others answer for some groups, metrics for instance."""
    authority, certificate, key = at.front_proxy
    return [
        f"--requestheader-client-ca-file={authority}",
        f"--requestheader-allowed-names={FRONT_PROXY}",
        "--requestheader-username-headers=X-Remote-User",
        "--requestheader-group-headers=X-Remote-Group",
        "--requestheader-extra-headers-prefix=X-Remote-Extra-",
        f"--proxy-client-cert-file={certificate}",
        f"--proxy-client-key-file={key}",
    ]


NO_NODE_LIFECYCLE = "--controllers=*,-node-lifecycle-controller"
"""Without the controller that would evict pods from pretended nodes: nobody renews their leases."""


def controller_manager(tools: Tools, at: Layout, extra: Sequence[str] = ()) -> list[str]:
    """All controllers, fast enough for tests."""
    return [
        tools["kube-controller-manager"],
        f"--kubeconfig={at.kubeconfig('controller-manager')}",
        f"--service-account-private-key-file={at.certificates / 'sa.key'}",
        f"--root-ca-file={at.authority}",
        "--use-service-account-credentials=true",
        "--leader-elect=false",
        "--secure-port=0",
        "--kube-api-qps=300",  # with the defaults a namespace's first service account takes six seconds
        "--kube-api-burst=600",
        "--horizontal-pod-autoscaler-sync-period=2s",
        *extra,
    ]


def scheduler(tools: Tools, at: Layout, extra: Sequence[str] = ()) -> list[str]:
    """The scheduler, which writes into a pod why it cannot be placed."""
    return [
        tools["kube-scheduler"],
        f"--kubeconfig={at.kubeconfig('scheduler')}",
        "--leader-elect=false",
        "--secure-port=0",
        *extra,
    ]

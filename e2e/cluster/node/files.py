"""Configuration files of containerd, kubelet and the pods' network, with the reason of what is unusual."""

from __future__ import annotations

import json
import os

import yaml

from cluster.debian import find
from cluster.node.layout import DNS_ADDRESS, NAME, NODE_POD_RANGE, PAUSE_IMAGE, NodeLayout

CONTAINERD = """\
version = 2
root = "{images}"
state = "{state}"
[grpc]
  address = "{socket}"
[plugins."io.containerd.grpc.v1.cri"]
  # Without CAP_SYS_RESOURCE nobody may lower it.
  restrict_oom_score_adj = {restrict}
  sandbox_image = "{pause}"
  # So that all that is to be unmounted at the end is below our folder.
  netns_mounts_under_state_dir = true
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    default_runtime_name = "runc"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        SystemdCgroup = false
        BinaryName = "{runc}"
        Root = "{runc_state}"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "{network}"
"""

_CAP_SYS_RESOURCE = 24


def write_files(at: NodeLayout) -> None:
    """All of them."""
    for folder in (at.images, at.containerd / "state", at.network, at.kubelet, at.pod_logs):
        folder.mkdir(parents=True, exist_ok=True)
    (at.folder / "containerd.toml").write_text(
        CONTAINERD.format(
            images=at.images,
            state=at.containerd / "state",
            socket=at.socket,
            pause=PAUSE_IMAGE,
            restrict="false" if _may_raise_limits() else "true",
            runc=find("runc"),
            runc_state=at.containerd / "runc",
            network=at.network,
        )
    )
    (at.network / "10-pods.conflist").write_text(json.dumps(_network(at)))
    (at.folder / "kubelet.yaml").write_text(yaml.safe_dump(_kubelet(at)))


def _network(at: NodeLayout) -> dict[str, object]:
    addresses = {
        "type": "host-local",
        "dataDir": str(at.network / "leases"),
        "ranges": [[{"subnet": NODE_POD_RANGE}]],
        "routes": [{"dst": "0.0.0.0/0"}],
    }
    bridge = {
        "type": "bridge",
        "bridge": "cni0",
        "isGateway": True,
        "ipMasq": False,
        "hairpinMode": True,
        "ipam": addresses,
    }
    return {"cniVersion": "0.4.0", "name": NAME, "plugins": [bridge]}


def _kubelet(at: NodeLayout) -> dict[str, object]:
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        # Reachable from the namespace only.
        "authentication": {"anonymous": {"enabled": True}, "webhook": {"enabled": False}},
        "authorization": {"mode": "AlwaysAllow"},
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{NAME}",
        "failCgroupV1": False,
        "failSwapOn": False,
        "containerRuntimeEndpoint": f"unix://{at.socket}",
        "clusterDNS": [DNS_ADDRESS],
        "clusterDomain": "cluster.local",
        # The machine's nameserver cannot be reached from here.
        "resolvConf": "/dev/null",
        "podLogsDir": str(at.pod_logs),
        # A developer's full disk shall evict no pods and delete no images.
        "evictionHard": {"nodefs.available": "1%", "imagefs.available": "1%"},
        "imageGCHighThresholdPercent": 100,
        "maxPods": 60,
    }


def _may_raise_limits() -> bool:
    with open(f"/proc/{os.getpid()}/status", encoding="ascii") as status:
        effective = next(line.split()[1] for line in status if line.startswith("CapEff"))
    return bool(int(effective, 16) >> _CAP_SYS_RESOURCE & 1)

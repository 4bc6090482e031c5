"""The images under test, on the node under the very names that README, docs and chart use."""

from __future__ import annotations

from pathlib import Path

import yaml

from cluster.images import archives
from cluster.kind import KindCluster, docker_build
from cluster.node.single_node import SingleNode

ROOT = Path(__file__).parents[2]
NAMES = ("operator", "gateway", "triton-emulator")
VERSION = str(yaml.safe_load((ROOT / "charts/sagesched/Chart.yaml").read_text())["appVersion"])
_OURS = ("localhost/sagesched-", "ghcr.io/sagesched/")


def _published(name: str) -> str:
    return f"ghcr.io/sagesched/{name}:{VERSION}"


TRITON = _published("triton-emulator")


def load_images(cluster: SingleNode) -> None:
    """Bring them to the node, built first where need be; images of earlier days go."""
    built = archives(NAMES)
    cluster.load(built.values())
    names = {}
    for name, archive in built.items():
        names[_published(name)] = cluster.containers.name_of(archive)
    for name, image in names.items():
        cluster.containers.tag(image, name)
    cluster.containers.remove_images(_OURS, keep={*names, *names.values()})


def load_images_by_docker(cluster: KindCluster) -> None:
    """Build them with docker, and bring them to kind's node."""
    for name in NAMES:
        docker_build(name, _published(name))
    cluster.load(map(_published, NAMES))

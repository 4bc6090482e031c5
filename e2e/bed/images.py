"""The images under test, on the node under the very names that README, docs and chart use."""

from __future__ import annotations

from pathlib import Path

import yaml

from cluster.images import archives
from cluster.node.single_node import SingleNode

ROOT = Path(__file__).parents[2]
NAMES = ("operator", "gateway", "triton-emulator")
VERSION = str(yaml.safe_load((ROOT / "charts/sagesched/Chart.yaml").read_text())["appVersion"])
_OURS = ("localhost/sagesched-", "ghcr.io/sagesched/")
TRITON = f"ghcr.io/sagesched/triton-emulator:{VERSION}"


def load_images(cluster: SingleNode) -> None:
    """Bring them to the node, built first where need be; images of earlier days go."""
    built = archives(NAMES)
    cluster.load(built.values())
    names = {}
    for name, archive in built.items():
        names[f"ghcr.io/sagesched/{name}:{VERSION}"] = cluster.containers.name_of(archive)
    for name, image in names.items():
        cluster.containers.tag(image, name)
    cluster.containers.remove_images(_OURS, keep={*names, *names.values()})

"""Images that the node itself needs: the one that holds a pod's namespaces, and CoreDNS."""

from __future__ import annotations

from pathlib import Path

from cluster.debian import find
from cluster.families import NODE_FAMILIES
from cluster.node.layout import DNS_ADDRESS, PAUSE_IMAGE
from cluster.scratch_image import ScratchImage, write_archive
from cluster.tools import Tools

_COREDNS = next(family for family in NODE_FAMILIES if family.name == "coredns")
COREDNS_IMAGE = f"localhost/coredns:{_COREDNS.version}"
_FOREVER = "2147483647"


def base_archives(tools: Tools, cache: Path) -> list[Path]:
    """Archives of both, made where the cache lacks them."""
    busybox = Path(find("busybox") or "/bin/busybox").resolve()
    pause = ScratchImage(name=PAUSE_IMAGE, program=busybox, target="/bin/sleep", arguments=(_FOREVER,))
    coredns = ScratchImage(name=COREDNS_IMAGE, program=Path(tools["coredns"]), target="/coredns")
    files = {cache / "pause.tar": pause, cache / f"{_COREDNS.key}.tar": coredns}
    return [file if file.exists() else write_archive(image, file) for file, image in files.items()]


def coredns_manifests() -> str:
    """YAML of CoreDNS."""
    template = (Path(__file__).parent / "coredns.yaml").read_text()
    return template.replace("image: IMAGE", f"image: {COREDNS_IMAGE}").replace(
        "clusterIP: ADDRESS", f"clusterIP: {DNS_ADDRESS}"
    )

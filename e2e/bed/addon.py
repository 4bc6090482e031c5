"""Other projects' programs as images on the node, and their manifests out of their own Go modules."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml

from cluster.families import Family
from cluster.foreign_kinds import module_folder
from cluster.node.single_node import SingleNode
from cluster.scratch_image import ScratchImage, write_archive
from cluster.tools import default_cache, ensure_tools


def load_programs(cluster: SingleNode, family: Family) -> dict[str, str]:
    """Bring a family's programs to the node, each as an image; built first where need be.

    Returns:
        Name of each program → name of its image. The program is `/NAME` in it.

    Raises:
        ToolError: one could not be built.
    """
    tools = ensure_tools(families=[family])
    images, archives = {}, []
    for program in family.programs:
        images[program] = f"localhost/{program}:{family.version}"
        archive = default_cache() / f"{family.key}-{program}.tar"
        if not archive.exists():
            image = ScratchImage(
                name=images[program], program=Path(tools[program]), target=f"/{program}", user="1000:1000"
            )
            write_archive(image, archive)
        archives.append(archive)
    cluster.load(archives)
    return images


def module_files(family: Family, folder: str) -> Path:
    """A folder of the module that a family is built from; not to be written to."""
    return module_folder(f"{family.module}@v{family.version}") / folder


@contextmanager
def kustomized(base: Path, resources: list[str], changes: dict[str, object]) -> Iterator[Path]:
    """A kustomization over folders of somebody else's, in a folder that lasts as long as the `with`.

    Args:
        base: holds the resources; it is copied, for it cannot be written to.
        resources: folders and files in it.
        changes: the rest of the kustomization: images, patches.
    """
    with tempfile.TemporaryDirectory(prefix="sagesched-kustomize-") as name:
        folder = Path(name)
        for resource in resources:
            source, target = base / resource, folder / resource
            if source.is_dir():
                shutil.copytree(source, target, copy_function=shutil.copyfile)
                target.chmod(0o755)
            else:
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source, target)
        document = {"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization"}
        text = yaml.safe_dump({**document, "resources": resources, **changes})
        (folder / "kustomization.yaml").write_text(text)
        yield folder

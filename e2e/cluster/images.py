"""`archives`: the images under test as OCI archives in the cache, built where the cache lacks them.

Buildah needs neither registry nor daemon: the base is Debian's, made by debootstrap, and takes the place of
python:3.11-slim as the Dockerfiles' build argument BASE. An archive is named by all that goes into its image;
buildah's own layers, kept beside, make a change of our sources a matter of seconds.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from cluster.debian import ensure_programs, find
from cluster.errors import ToolError
from cluster.tools import default_cache

ROOT = Path(__file__).parents[2]
NAMES = ("operator", "gateway", "triton-emulator", "gateway-gpu")
PROGRAMS = {"buildah": "buildah", "debootstrap": "debootstrap"}

_SUITE, _MIRROR = "bookworm", "http://deb.debian.org/debian"
_PACKAGES = ("ca-certificates", "libpython3.11", "python3", "python3-venv")
_NEEDLESS = ("var/cache/apt", "var/lib/apt/lists", "usr/share/doc", "usr/share/locale", "usr/share/man")
_SHARED = ("constraints.txt", "pyproject.toml", "README.md", "LICENSE", "NOTICE", ".dockerignore")
_SOURCES = ("predictor", "gateway", "emulator", "replay", "operator")
_TIMEOUT_S = 3600
_KEPT = 4
"""Archives per image that stay: the previous release's, other checkouts', and those of a moment ago."""

# A registry that is reached through a proxy of one's own is trusted as this machine trusts it.
_TRUST = (Path("/etc/ssl/certs"), Path("/etc/pip.conf"))


def archives(names: Iterable[str], checkout: Path | None = None) -> dict[str, Path]:
    """Archives of the images `localhost/sagesched-NAME:KEY`, built first where the cache lacks them.

    Args:
        names: some of `NAMES`.
        checkout: folder of another version's sources; this one's where left out.

    Raises:
        ToolError: buildah or debootstrap are missing and not for us to install, or a build failed.
    """
    folder = default_cache() / "images"
    folder.mkdir(parents=True, exist_ok=True)
    root = checkout or ROOT
    made = {name: folder / f"{name}-{image_key(name, root)}.tar" for name in names}
    missing = [name for name, archive in made.items() if not archive.exists()]
    if missing:
        ensure_programs(PROGRAMS)
        with _alone(folder):
            for name in missing:
                if not made[name].exists():
                    _build(folder, root, name, made[name])
            _buildah(folder, "rm", "--all")  # what builds have left open
    for archive in made.values():
        os.utime(archive)
    return made


def image_key(name: str, root: Path = ROOT) -> str:
    """Names what an image is made of: equal keys, equal images."""
    digest = hashlib.sha256(_base_key().encode())
    for file in _ingredients(root, name):
        digest.update(f"{file.relative_to(root)}\0".encode())
        digest.update(file.read_bytes())
    return digest.hexdigest()[:12]


def _ingredients(root: Path, name: str) -> list[Path]:
    files = [root / each for each in _SHARED]
    files += [file for file in (root / "images").glob("*") if file.is_file()]
    for folder in (f"images/{name}", *_SOURCES):
        files += [file for file in (root / folder).rglob("*") if file.is_file()]
    return sorted(file for file in files if "__pycache__" not in file.parts)


def _base_key() -> str:
    recipe = "\0".join((_SUITE, _MIRROR, *_PACKAGES, *_NEEDLESS, os.uname().machine))
    return hashlib.sha256(recipe.encode()).hexdigest()[:12]


def _build(folder: Path, root: Path, name: str, archive: Path) -> None:
    base = _base(folder)
    image = f"localhost/sagesched-{name}:{image_key(name, root)}"
    began = _say(f"building the image {name}")
    trust = [f"--volume={place}:{place}:ro" for place in _TRUST if place.exists()]
    arguments = {"BASE": base, "REVISION": _revision(root)}
    _buildah(
        folder,
        *("build", "--isolation=chroot", "--network=host", "--layers", "--pull-never", *trust),
        *(f"--build-arg={key}={value}" for key, value in arguments.items()),
        *(f"--file={root / 'images' / name / 'Dockerfile'}", f"--tag={image}", str(root)),
    )
    unfinished = archive.with_suffix(".unfinished")
    unfinished.unlink(missing_ok=True)
    _buildah(folder, "push", image, f"oci-archive:{unfinished}:{image}")
    unfinished.rename(archive)
    _say(f"{archive.stat().st_size / 1e6:.0f} MB in {time.monotonic() - began:.0f} s: {archive}")
    _forget_old(folder, name)


def _base(folder: Path) -> str:
    """Debian with Python, as an image in buildah's storage; about 130 MB."""
    image = f"localhost/sagesched-base:{_base_key()}"
    if _has(folder, image):
        return image
    began = _say("making the base image from Debian's packages")
    tree = folder / f"base-{_base_key()}"
    shutil.rmtree(tree, ignore_errors=True)
    _run(
        [
            *(_program("debootstrap"), "--variant=minbase", f"--include={','.join(_PACKAGES)}"),
            *(_SUITE, str(tree), _MIRROR),
        ]
    )
    for needless in _NEEDLESS:
        shutil.rmtree(tree / needless, ignore_errors=True)
    container = _buildah(folder, "from", "scratch").strip()
    _buildah(folder, "add", "--quiet", container, str(tree), "/")
    _buildah(folder, "commit", "--quiet", "--rm", container, image)
    shutil.rmtree(tree)
    _say(f"made in {time.monotonic() - began:.0f} s")
    return image


def _has(folder: Path, image: str) -> bool:
    command = [_program("buildah"), *_storage(folder), "inspect", "--type=image", image]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def _buildah(folder: Path, *arguments: str) -> str:
    return _run([_program("buildah"), *_storage(folder), *arguments])


def _storage(folder: Path) -> tuple[str, ...]:
    """Buildah's storage is ours alone: it does not mix with other images of the machine's owner."""
    return (f"--root={folder / 'storage'}", f"--runroot={folder / 'run'}", "--storage-driver=overlay")


def _forget_old(folder: Path, name: str) -> None:
    found = [file for file in folder.glob(f"{name}-*.tar") if len(file.stem) == len(name) + 13]
    for old in sorted(found, key=lambda file: file.stat().st_mtime)[:-_KEPT]:
        image = f"localhost/sagesched-{name}:{old.stem.rpartition('-')[2]}"
        old.unlink()
        subprocess.run(
            [_program("buildah"), *_storage(folder), "rmi", image], capture_output=True, check=False
        )
    _buildah(folder, "rmi", "--prune")  # layers that no image is made of any more


def _revision(root: Path) -> str:
    command = ["git", "-C", str(root), "rev-parse", "HEAD"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip() or "unknown"


def _program(name: str) -> str:
    return find(name) or name


def _run(command: list[str]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired:
        raise ToolError(f"{' '.join(command[:2])} took more than {_TIMEOUT_S} s") from None
    if done.returncode:
        tail = "\n".join((done.stdout + done.stderr).strip().splitlines()[-15:])
        raise ToolError(f"{' '.join(command)} failed:\n{tail}")
    return done.stdout


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """One build at a time: they share buildah's storage."""
    with (folder / "lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _say(line: str) -> float:
    print(f"sagesched: {line}", file=sys.stderr, flush=True)
    return time.monotonic()


def main() -> int:
    """`python -m cluster.images [NAME...]`: build images, print their archives."""
    try:
        for name, archive in archives(sys.argv[1:] or NAMES[:3]).items():
            print(f"{name}\t{archive}")
    except (ToolError, KeyError) as error:
        print(f"cluster.images: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

r"""One digest for all files of a folder, as users can compute it by a line of shell.

SHA-256 over a line `<sha256 of the content, hex>  <path>` for each file that is not empty, in the order of
the paths' bytes; links are followed. In a shell:

    cd FOLDER && find -L . -type f -size +0 ! -path './lost+found/*' ! -path './.cache/*' -printf '%P\0' |
        LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum

Left out is what comes and goes with the way that files took: empty files, which stores of objects do not
keep; `.cache`, where downloads from Hugging Face leave notes; `lost+found` of a volume.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

_LEFT_OUT = frozenset({b"lost+found", b".cache"})
"""At the top of the folder."""


class DigestError(ValueError):
    """There is no digest, or it is another one; the message says what to do."""


def folder_digest(folder: Path) -> str:
    """The digest, `sha256:` and 64 hex digits.

    Raises:
        DigestError: the folder is missing, holds no file, or a path holds a line break or a backslash.
        OSError: a file cannot be read.
    """
    if not folder.is_dir():
        raise DigestError(f"{folder}: is not a folder")
    root = os.fsencode(folder)
    paths = sorted(_files(root))
    if not paths:
        raise DigestError(f"{folder}: holds no files")
    total = hashlib.sha256()
    with ThreadPoolExecutor(min(len(paths), os.cpu_count() or 1)) as threads:  # hashing leaves the GIL alone
        for path, digest in zip(
            paths, threads.map(lambda path: _sha256(root + b"/" + path), paths), strict=True
        ):
            total.update(digest.encode() + b"  " + path + b"\n")
    return f"sha256:{total.hexdigest()}"


def check_folder(folder: Path, expected: str) -> None:
    """Compare.

    Raises:
        DigestError, OSError: as `folder_digest`, or the digest is another one.
    """
    found = folder_digest(folder)
    if found != expected:
        raise DigestError(
            f"{folder}: its files have the digest {found}, not {expected}: "
            "if they are the right ones, write that into the pool"
        )


def _files(root: bytes) -> Iterator[bytes]:
    for here, folders, names in os.walk(root, followlinks=True, onerror=_raise):
        if here == root:
            folders[:] = [name for name in folders if name not in _LEFT_OUT]
        for name in names:
            path = os.path.join(here, name)
            if not os.path.isfile(path) or not os.path.getsize(path):
                continue
            relative = os.path.relpath(path, root)
            if b"\n" in relative or b"\\" in relative:
                raise DigestError(f"{os.fsdecode(path)!r}: rename it: no line breaks, no backslashes")
            yield relative


def _sha256(path: bytes) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _raise(error: OSError) -> None:
    raise error

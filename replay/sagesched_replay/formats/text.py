"""Reads text files, packed or not, and names what is wrong by file and line."""

from __future__ import annotations

import gzip
import hashlib
import lzma
import zlib
from collections.abc import Iterator
from io import BufferedIOBase
from pathlib import Path

from sagesched_emulator.dataset import DatasetError

DIGEST_LENGTH = 12


def _opened(path: Path) -> BufferedIOBase:
    if path.suffix == ".xz":
        return lzma.LZMAFile(path)
    return gzip.GzipFile(path) if path.suffix == ".gz" else path.open("rb")


def lines_of(path: Path) -> Iterator[tuple[int, str]]:
    """Lines that are not blank, with their numbers, `.xz` and `.gz` unpacked.

    Raises:
        DatasetError: the file cannot be read, or is not UTF-8 text.
    """
    number = 0
    try:
        with _opened(path) as file:
            for number, raw in enumerate(file, start=1):
                line = raw.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
                if line.strip():
                    yield number, line
    except UnicodeDecodeError as error:
        raise DatasetError(f"{path}:{number}: not UTF-8 text") from error
    except (OSError, EOFError, lzma.LZMAError, zlib.error) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise DatasetError(f"{path}: cannot be read: {reason}") from error


def digest_of(*paths: Path) -> str:
    """First hexadecimal digits of the SHA-256 of the files' bytes, one after the other."""
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()[:DIGEST_LENGTH]


def tokens(text: object, name: str, *, least: int = 1) -> int:
    """A count of tokens out of a field.

    Raises:
        ValueError: it is no whole number of at least `least`.
    """
    try:
        value = float(str(text))
    except ValueError:
        value = -1.0
    if not value.is_integer() or value < least or isinstance(text, bool):
        raise ValueError(f"{name!r} must be a whole number >= {least}, got {text!r:.40}")
    return int(value)

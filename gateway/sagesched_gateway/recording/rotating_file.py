"""`RotatingFile`: whole lines appended to a private file; a full one is put aside as `FILE.1`, `FILE.2`, ...

Only whole lines: where a write ends half way (no space left) or a run ended in the middle of one, the rest of
the line is cut off, since a reader could make nothing of it. The file is never reached through a link and
must be a plain one: its path may lie in a folder that others can write to. Where somebody takes it away or
empties it (logrotate, a full disk), lines go on in what is there now.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

_BLOCK = 64 * 1024


class RotatingFile:
    """Appends lines; not thread-safe."""

    def __init__(self, path: Path, *, max_bytes: int, files: int) -> None:
        """Prepare; the file is opened at the first write.

        Args:
            path: where lines go; its folder must exist.
            max_bytes: a file that would grow beyond is put aside first; one line alone may be longer.
            files: how many full files are kept.
        """
        self._path = path
        self._max_bytes = max_bytes
        self._files = files
        self._handle: int | None = None
        self._size = 0

    def write(self, lines: Iterable[bytes]) -> None:
        """Append lines.

        Raises:
            OSError: some or all of them could not be written; the next call tries the file anew.
        """
        self._follow_path()
        batch = b""
        for line in lines:
            if batch and self._opened_size() + len(batch) + len(line) > self._max_bytes:
                self._append(batch)
                batch = b""
            batch += line
        if batch:
            self._append(batch)

    def close(self) -> None:
        """Close the file; a later write opens it again."""
        handle, self._handle = self._handle, None
        if handle is not None:
            os.close(handle)

    def _follow_path(self) -> None:
        """Let go of a file that the path does not lead to any more; see how much is in it."""
        if self._handle is None:
            return
        ours = os.fstat(self._handle)
        try:
            there = os.lstat(self._path)
        except FileNotFoundError:
            self.close()
            return
        if (there.st_dev, there.st_ino) != (ours.st_dev, ours.st_ino):
            self.close()
        self._size = ours.st_size

    def _append(self, batch: bytes) -> None:
        if self._opened_size() and self._size + len(batch) > self._max_bytes:
            self._put_aside()
            self._opened_size()
        assert self._handle is not None, "just opened"
        try:
            rest = memoryview(batch)
            while rest:
                rest = rest[os.write(self._handle, rest) :]
        except OSError:
            with suppress(OSError):
                os.ftruncate(self._handle, self._size)
            self.close()
            raise
        self._size += len(batch)

    def _opened_size(self) -> int:
        """Bytes in the file, opened where it is not."""
        if self._handle is None:
            flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
            handle = os.open(self._path, flags, 0o600)
            try:
                if not stat.S_ISREG(os.fstat(handle).st_mode):
                    raise OSError(f"{self._path}: not a plain file")
                os.fchmod(handle, 0o600)
                self._size = _cut_torn_line(handle)
            except OSError:
                os.close(handle)
                raise
            self._handle = handle
        return self._size

    def _put_aside(self) -> None:
        """`FILE` becomes `FILE.1`, `FILE.1` becomes `FILE.2`, and the last one goes."""
        self.close()
        names = [self._path, *(Path(f"{self._path}.{number}") for number in range(1, self._files + 1))]
        for older, newer in zip(reversed(names[1:]), reversed(names[:-1]), strict=True):
            with suppress(FileNotFoundError):  # not so many yet, or somebody took one away
                os.replace(newer, older)


def _cut_torn_line(handle: int) -> int:
    """Cut off what follows the last line's end; returns the size."""
    size = end = os.fstat(handle).st_size
    while end > 0:
        start = max(0, end - _BLOCK)
        at = os.pread(handle, end - start, start).rfind(b"\n")
        if at >= 0:
            end = start + at + 1
            break
        end = start
    if end < size:
        os.ftruncate(handle, end)
    return end

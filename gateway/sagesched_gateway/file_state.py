"""What a path leads to just now, to see whether files have changed."""

from __future__ import annotations

import os
from pathlib import Path

FileState = tuple[int, ...] | None


def state_of(path: Path) -> FileState:
    """Device, inode, size and times of what the path leads to, links followed; None for nothing."""
    try:
        state = os.stat(path)
    except OSError:
        return None
    return state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns, state.st_ctime_ns

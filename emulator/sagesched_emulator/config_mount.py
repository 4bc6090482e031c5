"""`ConfigMount`: a folder that changes as kubelet changes a mounted ConfigMap.

`FILE` is a link to `..data/FILE`, and `..data` one to a folder of its own for each version. A swap writes a
new folder, makes a link `..data_tmp` to it, renames that over `..data`, which is what readers notice, and
removes the old folder (kubelet's atomic writer).
"""

from __future__ import annotations

from itertools import count
from pathlib import Path


class ConfigMount:
    """One mounted file.

    Attributes:
        file: its path, the same in all versions.
    """

    def __init__(self, folder: Path, name: str, text: str) -> None:
        """Mount the first version into an existing folder."""
        self._folder = folder
        self._numbers = count(1)
        self.file = folder / name
        self.swap(text)
        self.file.symlink_to(Path("..data") / name)

    def swap(self, text: str) -> None:
        """The next version."""
        data, beside = self._folder / "..data", self._folder / "..data_tmp"
        old = data.resolve() if data.is_symlink() else None
        new = self._folder / f"..2026_01_31_12_00_00.{next(self._numbers)}"
        new.mkdir()
        (new / self.file.name).write_text(text, encoding="utf-8")
        beside.symlink_to(new.name)
        beside.rename(data)
        if old is not None:
            (old / self.file.name).unlink()
            old.rmdir()

"""Both ways to a folder's digest, as the guide has them, say the same."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from bed.documented import commands_under


def test_the_program_and_the_shell_agree(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    (folder / "1").mkdir(parents=True)
    (folder / "config.pbtxt").write_text("name: 'a'")
    (folder / "1" / "rank0.engine").write_bytes(bytes(range(256)))
    (folder / "empty").touch()
    program, shell = commands_under("docs/guides/models.md", "## Is it the right one?")
    printed = [_run(each.replace("FOLDER", str(folder))) for each in (program, shell)]
    by_program, by_hand = (each.split()[0].removeprefix("sha256:") for each in printed)
    assert by_program == by_hand


def _run(command: str) -> str:
    path = f"{Path(sys.executable).parent}:/usr/bin:/bin"
    done = subprocess.run(
        ["bash", "-c", command], env={"PATH": path}, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()

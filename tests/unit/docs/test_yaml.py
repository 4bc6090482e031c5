"""YAML on the pages is YAML: people copy it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from bed.documented import ROOT

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCKS = [
    (page, block) for page in PAGES for block in re.findall(r"```yaml\n(.*?)```", page.read_text(), re.S)
]


@pytest.mark.parametrize(("page", "block"), BLOCKS)
def test_it_is_read(page: Path, block: str) -> None:
    assert all(yaml.safe_load_all(block)), page

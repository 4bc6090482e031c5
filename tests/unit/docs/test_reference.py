"""The generated pages are what the code says now."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

REFERENCE = Path(__file__).parents[3] / "docs" / "reference"
sys.path.insert(0, str(REFERENCE))

from generate import PAGES  # noqa: E402  # found by the line above


@pytest.mark.parametrize("name", PAGES)
def test_a_generated_page_is_up_to_date(name: str) -> None:
    assert (REFERENCE / name).read_text(encoding="utf-8") == PAGES[name](), "run `make docs`"


def test_every_row_is_complete() -> None:
    for name, page in PAGES.items():
        rows = [line for line in page().splitlines() if line.startswith("| `")]
        assert len(rows) >= 10
        for row in rows:
            cells = [cell.strip() for cell in row.strip("|").split(" | ")]
            assert cells[-1], f"{name}: {row}"
            assert cells[-1].endswith((".", "`", ")")) or name == "settings.md", row

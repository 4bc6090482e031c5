"""Commands are taken from a document as a reader would type them."""

from __future__ import annotations

from pathlib import Path

import pytest

from bed import documented

TEXT = """\
# Guide
## First
```
one --flag    # why
two \\
  --more
```
Words.
```yaml
# only a comment
```
### Below
```bash
$ three
what it prints
```
```json
{"not": "a command"}
```
## Second
```
four
```
"""


@pytest.fixture(autouse=True)
def _root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "guide.md").write_text(TEXT)
    monkeypatch.setattr(documented, "ROOT", tmp_path)


def test_comments_go_and_continued_lines_are_one() -> None:
    assert documented.commands_under("guide.md", "## First") == ["one --flag", "two    --more"]
    assert documented.commands_under("guide.md", "### Below") == ["three"]
    assert documented.commands_under("guide.md", "## Second") == ["four"]


def test_a_heading_that_is_not_there_is_told() -> None:
    with pytest.raises(ValueError, match="no heading '## Third'"):
        documented.commands_under("guide.md", "## Third")

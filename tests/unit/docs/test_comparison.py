"""What the comparison claims for us is what tests keep."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "comparison.md").read_text()
ROW = re.compile(r"^\| (\d+) \| [^|]+ \| ([^|]+) \|", re.M)
EVIDENCE = re.compile(r"^- (\d+): (`(?:tests|e2e)/.+)$", re.M)


def test_every_yes_has_its_test_and_every_test_exists() -> None:
    evidence = {number: re.findall(r"`([^`]+)`", tests) for number, tests in EVIDENCE.findall(PAGE)}
    assert len(evidence) == len(EVIDENCE.findall(PAGE)), "a row is cited twice"
    for number, cell in ROW.findall(PAGE):
        assert "Y" not in cell or evidence.get(number), f"row {number} says Y without a test"
    for number, tests in evidence.items():
        for test in tests:
            file, _, name = test.partition("::")
            assert Path(file).name.startswith("test_"), (number, test)
            assert (ROOT / file).exists(), (number, file)
            assert not name or f"def {name}(" in (ROOT / file).read_text(), (number, test)


def test_links_and_paths_in_the_pages_about_kubernetes_lead_somewhere() -> None:
    pages = [ROOT / "docs" / "comparison.md", ROOT / "docs" / "capability-levels.md"]
    pages += [*(ROOT / "docs" / "guides").glob("*.md"), *(ROOT / "docs" / "runbooks").glob("*.md")]
    for page in pages:
        for target in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", page.read_text()):
            assert target.startswith("http") or (page.parent / target).exists(), f"{page.name}: {target}"

"""Results of scenarios, kept by what they ran on, so that a run may go on where another ended."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from bed.load import Account
from cluster.tools import default_cache

ROOT = Path(__file__).parents[2]
SCENARIOS = ROOT / "e2e" / "scenarios"

_PRODUCT = ("predictor", "gateway", "emulator", "replay", "operator", "images", "charts", "crds")
_PINS = ("pyproject.toml", "constraints.txt")
_PASSED = "passed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One scenario's.

    Attributes:
        scenario: its name.
        level: 1, 2 or 3, as its mark says.
        outcome: passed, failed, or error where it could not begin or clean up.
        duration_s: without setting up the cluster.
        lines: what it measured and proved.
        complete: requests that got all of their own tokens.
        errors: requests that ended with an error that has a name.
        wrong: requests lost, doubled or with somebody else's tokens.
        at: when it ended, UTC.
    """

    scenario: str
    level: str
    outcome: str
    duration_s: float
    lines: list[str]
    complete: int
    errors: int
    wrong: int
    at: str

    @property
    def passed(self) -> bool:
        """Whether all was as it should be."""
        return self.outcome == _PASSED


def counts(accounts: Iterable[Account]) -> dict[str, int]:
    """Requests by what became of them, as a `Result` has them."""
    done = list(accounts)
    return {
        "complete": sum(each.num_complete for each in done),
        "errors": sum(sum(each.errors.values()) for each in done),
        "wrong": sum(len(each.problems) for each in done),
    }


class Results:
    """Those of the sources as they are now: another product, or another scenario's file, has its own."""

    def __init__(self, context: str = "", cache: Path | None = None) -> None:
        """Of one cluster.

        Args:
            context: of the user's own; empty for the bed's.
            cache: folder; None takes `default_cache()`.
        """
        self.product = product_key()
        self._sources = {
            each.stem.removeprefix("test_"): _digest(each) for each in SCENARIOS.glob("test_*.py")
        }
        place = f"{self.product}-{context}" if context else self.product
        self._folder = (cache or default_cache()) / "scenarios" / place.replace("/", "_")

    def keep(self, result: Result) -> None:
        """In place of an earlier one of the same scenario."""
        self._folder.mkdir(parents=True, exist_ok=True)
        file = self._file(result.scenario)
        unfinished = file.with_suffix(".unfinished")
        unfinished.write_text(json.dumps(asdict(result)))
        unfinished.replace(file)

    def of(self, scenario: str) -> Result | None:
        """The latest; None where it has not run on these sources."""
        file = self._file(scenario)
        return Result(**json.loads(file.read_text())) if file.exists() else None

    def _file(self, scenario: str) -> Path:
        return self._folder / f"{scenario}-{self._sources[scenario]}.json"


def _digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()[:12]


def product_key() -> str:
    """Changes with whatever goes into images and chart; not with documentation or the test bed."""
    digest = hashlib.sha256()
    files = [ROOT / each for each in _PINS]
    for folder in _PRODUCT:
        files += [file for file in (ROOT / folder).rglob("*") if file.is_file()]
    for file in sorted(file for file in files if "__pycache__" not in file.parts):
        digest.update(f"{file.relative_to(ROOT)}\0".encode())
        digest.update(file.read_bytes())
    return digest.hexdigest()[:12]

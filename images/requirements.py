"""Prints what extras of the project need, one a line for pip: `requirements.py PYPROJECT EXTRA...`."""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path


def main() -> None:
    """Print them."""
    project = tomllib.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))["project"]
    extras = [requirement for name in sys.argv[2:] for requirement in project["optional-dependencies"][name]]
    print("\n".join([*project["dependencies"], *extras]))


if __name__ == "__main__":
    main()

"""All that the test bed needs, into the cache: `python -m cluster.install`. Tests then need no network."""

from __future__ import annotations

import sys

from cluster.errors import ToolError
from cluster.foreign_kinds import ensure_foreign_kinds
from cluster.tools import ensure_tools


def main() -> int:
    """Build and fetch what is missing; print each program's path."""
    try:
        tools = ensure_tools()
        ensure_foreign_kinds()
    except ToolError as error:
        print(f"cluster.install: {error}", file=sys.stderr)
        return 1
    for name, path in sorted(tools.paths.items()):
        print(f"{name}\t{path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

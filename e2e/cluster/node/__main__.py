"""`python -m cluster.node up | down`: a cluster of one node, without any image of ours on it."""

from __future__ import annotations

import sys
import time

from cluster.errors import ClusterError
from cluster.node.single_node import SingleNode


def main() -> int:
    """Do what the word says; returns the exit code."""
    node, words = SingleNode(), {"up": SingleNode.up, "down": SingleNode.down}
    if sys.argv[1:] not in [[word] for word in words]:
        print(__doc__, file=sys.stderr)
        return 2
    began = time.monotonic()
    try:
        words[sys.argv[1]](node)
    except ClusterError as error:
        print(f"cluster.node: {error}", file=sys.stderr)
        return 1
    print(f"{sys.argv[1]} in {time.monotonic() - began:.1f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())

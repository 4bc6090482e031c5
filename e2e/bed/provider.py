"""The cluster that scenarios run on."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from bed.images import load_images
from cluster.node.single_node import SingleNode

KEEP_VARIABLE = "E2E_KEEP"
"""Set to leave the cluster running afterwards, to look at it."""


@contextmanager
def ready_cluster() -> Iterator[SingleNode]:
    """The one that runs (`make cluster-up`), which then stays, or a new one, which does not."""
    cluster = SingleNode()
    was_up = cluster.is_up
    if not was_up:
        cluster.up()
    try:
        load_images(cluster)
        yield cluster
    finally:
        if not was_up and not os.environ.get(KEEP_VARIABLE):
            cluster.down()

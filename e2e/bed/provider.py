"""The cluster that scenarios run on."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from bed.images import load_images
from cluster.kubectl import Cluster
from cluster.node.single_node import SingleNode
from cluster.own import OwnCluster

KEEP_VARIABLE = "E2E_KEEP"
"""Set to leave the cluster running afterwards, to look at it."""


CONTEXT_VARIABLE = "E2E_CONTEXT"
"""Names a context of the user's kubeconfig: the scenarios run on that cluster then."""


def is_users_own() -> bool:
    """Whether the scenarios run on a cluster of the user's."""
    return bool(os.environ.get(CONTEXT_VARIABLE))


@contextmanager
def ready_cluster() -> Iterator[Cluster]:
    """The user's own where one is named, else a node of the bed's.

    Raises:
        ClusterError: it cannot be used, or did not start.
    """
    if is_users_own():
        own = OwnCluster(os.environ[CONTEXT_VARIABLE])
        own.check()
        yield own
    else:
        with _ready_node() as node:
            yield node


@contextmanager
def _ready_node() -> Iterator[SingleNode]:
    """The one that runs (`make cluster-up`), which then stays, or a new one, which does not.

    One that a killed run has left behind is not taken over, nor is one that another run still uses.
    """
    cluster = SingleNode()
    with cluster.reserved():
        is_ours = cluster.layout.made_by_a_run.exists() or not cluster.is_up
        if is_ours:
            cluster.up()
            cluster.layout.made_by_a_run.touch()
        try:
            load_images(cluster)
            yield cluster
        finally:
            if is_ours and os.environ.get(KEEP_VARIABLE):
                cluster.layout.made_by_a_run.unlink()
            elif is_ours:
                cluster.down()

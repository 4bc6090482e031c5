"""The cluster that scenarios run on."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from bed.images import load_images, load_images_by_docker
from cluster import kind
from cluster.kubectl import Cluster
from cluster.node.single_node import SingleNode
from cluster.own import OwnCluster

KEEP_VARIABLE = "E2E_KEEP"
"""Set to leave the cluster running afterwards, to look at it."""


CONTEXT_VARIABLE = "E2E_CONTEXT"
"""Names a context of the user's kubeconfig: the scenarios run on that cluster then."""


def place() -> str:
    """Where the scenarios run: a context of the user's, kind's, or empty for the bed's own node.

    Kind is for machines with docker on which the node cannot be: it needs root, and Debian's packages.
    """
    if named := os.environ.get(CONTEXT_VARIABLE, ""):
        return named
    has_room_for_node = os.geteuid() == 0 and shutil.which("apt-get") is not None
    return kind.CONTEXT if not has_room_for_node and kind.is_usable() else ""


@contextmanager
def ready_cluster() -> Iterator[Cluster]:
    """The one that `place` names.

    Raises:
        ClusterError: it cannot be used, or did not start.
    """
    match place():
        case "":
            with _ready_node() as node:
                yield node
        case kind.CONTEXT if not os.environ.get(CONTEXT_VARIABLE):
            with _ready_kind() as in_docker:
                yield in_docker
        case context:
            own = OwnCluster(context)
            own.check()
            yield own


@contextmanager
def _ready_kind() -> Iterator[kind.KindCluster]:
    """The one that is there of our name, which then stays, or a new one, which does not."""
    cluster = kind.KindCluster()
    is_ours = not cluster.is_up
    if is_ours:
        cluster.up()
    try:
        cluster.enter()
        load_images_by_docker(cluster)
        yield cluster
    finally:
        if is_ours and not os.environ.get(KEEP_VARIABLE):
            cluster.down()


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

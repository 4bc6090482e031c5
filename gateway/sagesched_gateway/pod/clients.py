"""Who is still connected, from the kernel's tables: gRPC's server tells nobody about its connections."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

_TABLES = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
_ESTABLISHED = "01"


def num_connected(ports: Collection[int]) -> int:
    """Connections that clients hold to any of these ports.

    Args:
        ports: local ones, of this network namespace (a pod's, for a pod).

    Returns:
        How many are established; source: proc_pid_net(5), `local_address` and `st`.
    """
    found = 0
    for table in _TABLES:
        if not table.exists():  # a kernel without IPv6
            continue
        for line in table.read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == _ESTABLISHED and int(fields[1].rpartition(":")[2], 16) in ports:
                found += 1
    return found

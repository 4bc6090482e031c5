"""What Argo CD makes of pools, by the very code with which it runs health scripts."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from typing import Any

from cluster.addon_families import ARGO_CD_HEALTH
from cluster.errors import ClusterError
from cluster.pool_statuses import HEALTH_SCRIPT
from cluster.tools import ensure_tools


def health(pools: Mapping[str, Mapping[str, Any]]) -> dict[str, tuple[str, str]]:
    """Health and message of each pool, by the documentation's script.

    Args:
        pools: as the API server gives them, by any name.

    Raises:
        ClusterError: the script fails.
    """
    program = ensure_tools(families=[ARGO_CD_HEALTH])["argocd-health"]
    done = subprocess.run(
        [program, str(HEALTH_SCRIPT)],
        input="\n".join(map(json.dumps, pools.values())),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise ClusterError(done.stderr.strip())
    verdicts = [json.loads(line) for line in done.stdout.splitlines()]
    pairs = zip(pools, verdicts, strict=True)
    return {name: (verdict["status"], verdict["message"]) for name, verdict in pairs}

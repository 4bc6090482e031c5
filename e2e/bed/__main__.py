"""`python -m bed [STAGE]`: what `make e2e` runs: programs, images, and the scenarios on a real cluster.

STAGE is one of
  tools           build Kubernetes' programs into the cache
  addons          and what level 2 needs of others: KEDA, prometheus-adapter, Flux, Argo CD's health
  images          build our images into the cache
  up              start the cluster with our images on it, and leave it
  level1 ...      scenarios of that level: 1 is what CI runs, 3 needs programs that take long to build
  NAME            one scenario, for instance rolling_update_streams_finish
Without one: levels 1 and 2. Each stage takes up what an earlier one left in the cache.
With E2E_CONTEXT=NAME, a context of your kubeconfig, the scenarios run on that cluster, but for those that
need the processes of a node.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from bed.images import NAMES, load_images
from cluster.addon_families import ADDON_FAMILIES
from cluster.errors import ClusterError
from cluster.images import archives
from cluster.node.packages import ensure_packages
from cluster.node.single_node import SingleNode
from cluster.tools import ensure_tools

_SCENARIOS = Path(__file__).parents[1] / "scenarios"
_USUAL_LEVELS = "1,2"


def main() -> int:
    """Run a stage; returns the exit code."""
    stage = next(iter(sys.argv[1:]), "")
    if stage in ("-h", "--help"):
        print(__doc__)
        return 0
    try:
        if stage == "tools":
            ensure_packages()
            _ = SingleNode().tools
        elif stage == "addons":
            ensure_tools(families=ADDON_FAMILIES)
        elif stage == "images":
            archives(NAMES)
        elif stage == "up":
            _up()
        else:
            return _run_scenarios(stage)
    except ClusterError as error:
        print(f"e2e: {error}", file=sys.stderr)
        return 1
    return 0


def _up() -> None:
    cluster = SingleNode()
    if not cluster.is_up:
        cluster.up()
    load_images(cluster)
    enter = " ".join(cluster.inside())
    print(f"""The cluster is up; it lives in a network namespace of its own. To work with it:
  export KUBECONFIG={cluster.kubeconfig} PATH={cluster.environment()["PATH"].split(":")[0]}:$PATH
  {enter} bash
Then for instance: helm install sagesched charts/sagesched -n sagesched-system --create-namespace
`make cluster-down` removes it.""")


def _run_scenarios(stage: str) -> int:
    pytest = [sys.executable, "-m", "pytest", "--capture=no", "--verbose", "--no-header"]
    if stage and not re.fullmatch(r"level\d", stage):
        file = _SCENARIOS / f"test_{stage}.py"
        if not file.exists():
            known = sorted(each.stem.removeprefix("test_") for each in _SCENARIOS.glob("test_*.py"))
            print(f"e2e: no scenario {stage!r}; there are {', '.join(known)}", file=sys.stderr)
            return 2
        return subprocess.run([*pytest, str(file)], check=False).returncode
    levels = stage.removeprefix("level") or _USUAL_LEVELS
    return subprocess.run([*pytest, str(_SCENARIOS), f"--levels={levels}"], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())

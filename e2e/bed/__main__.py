"""`python -m bed [STAGE]`: what `make e2e` runs: programs, images, and the scenarios on a real cluster.

STAGE is one of
  tools           build Kubernetes' programs into the cache
  addons          and what level 2 needs of others: KEDA, prometheus-adapter, Flux, Argo CD's health
  images          build our images into the cache
  up              start the cluster with our images on it, and leave it
  level1, level2  scenarios of that level: 1 is what CI runs
  NAME ...        these scenarios, for instance rolling_update_streams_finish
  rest            scenarios of both levels that have not passed yet on these very sources
Without one: all scenarios. Each stage takes up what an earlier one left in the cache. At the end stands a
table of the scenarios asked for, with the latest result of each on these sources.
With E2E_CONTEXT=NAME, a context of your kubeconfig, the scenarios run on that cluster, but for those that
need the processes of a node. The same on a cluster that kind makes, on machines with docker that are not
Debian's or where this is not root.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence

from bed.images import NAMES, load_images
from bed.results import SCENARIOS
from cluster.addon_families import ADDON_FAMILIES
from cluster.errors import ClusterError
from cluster.images import archives
from cluster.node.packages import ensure_packages
from cluster.node.single_node import SingleNode
from cluster.tools import ensure_tools


def main() -> int:
    """Run a stage; returns the exit code."""
    stages = sys.argv[1:]
    stage = next(iter(stages), "")
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
            return _run_scenarios(stages)
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


def _run_scenarios(stages: Sequence[str]) -> int:
    pytest = [sys.executable, "-m", "pytest", "--capture=no", "--verbose", "--no-header"]
    match stages:
        case []:
            pytest.append(str(SCENARIOS))
        case ["rest"]:
            pytest += [str(SCENARIOS), "--rest"]
        case ["level1" | "level2" as stage]:
            pytest += [str(SCENARIOS), f"--levels={stage.removeprefix('level')}"]
        case names:
            known = {each.stem.removeprefix("test_"): each for each in sorted(SCENARIOS.glob("test_*.py"))}
            for name in names:
                if name not in known:
                    print(f"e2e: no scenario {name!r}; there are {', '.join(known)}", file=sys.stderr)
                    return 2
            pytest += [str(known[name]) for name in names]
    return subprocess.run(pytest, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())

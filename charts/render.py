"""What in this folder follows from something else: `make manifests`. A test compares.

The chart's copy of the CustomResourceDefinition, its dashboards and README, and, rendered from it, plain
manifests for kustomize users.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

from dashboards import FOLDER, dashboards
from readme import readme

from cluster.tools import ensure_tools

CHARTS = Path(__file__).parent
CHART = CHARTS / "sagesched"
MANIFESTS = CHARTS / "manifests"
DEFINITION = CHARTS.parent / "crds" / "llmservingpools.yaml"
NAMESPACE = "sagesched-system"

_HEAD = "# Rendered from charts/sagesched by `make manifests`; change that.\n"
_NAMESPACE = f"""\
apiVersion: v1
kind: Namespace
metadata:
  name: {NAMESPACE}
  labels: {{pod-security.kubernetes.io/enforce: restricted}}
"""
_KUSTOMIZATION = """\
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
resources: [namespace.yaml, crd.yaml, operator.yaml]
"""


def manifests(helm: str) -> dict[str, str]:
    """File name → text."""
    command = [helm, "template", "sagesched", str(CHART), "-n", NAMESPACE, "--no-hooks"]
    command += ["--set", "crds.enabled=false"]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return {
        "namespace.yaml": _HEAD + _NAMESPACE,
        "crd.yaml": _HEAD + DEFINITION.read_text(),
        "operator.yaml": _HEAD + _without_helm(text),
        "kustomization.yaml": _HEAD + _KUSTOMIZATION,
    }


def _without_helm(text: str) -> str:
    """Helm's labels and comments say nothing to those who do not use it."""
    text = re.sub(r"^ *helm\.sh/chart: .*\n|^# Source: .*\n", "", text, flags=re.MULTILINE)
    return text.replace("app.kubernetes.io/managed-by: Helm", "app.kubernetes.io/managed-by: kustomize")


def main() -> int:
    """Write everything."""
    shutil.copyfile(DEFINITION, CHART / "files" / DEFINITION.name)
    for name, text in dashboards().items():
        (FOLDER / name).write_text(text)
    (CHART / "README.md").write_text(readme())
    MANIFESTS.mkdir(exist_ok=True)
    for name, text in manifests(ensure_tools()["helm"]).items():
        (MANIFESTS / name).write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())

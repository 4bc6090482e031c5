"""What others bring to a cluster: scalers, GitOps tools. Built only for the scenarios that need them."""

from __future__ import annotations

from cluster.families import Family


def _family(name: str, module: str, programs: dict[str, str]) -> Family:
    """Of programs that nobody has on PATH, and whose version nobody reads."""
    return Family(name=name, module=module, programs=programs, stamps={}, version_arguments={})


KEDA = _family(
    "keda",
    "github.com/kedacore/keda/v2",
    {
        "keda": "github.com/kedacore/keda/v2/cmd/operator",
        "keda-adapter": "github.com/kedacore/keda/v2/cmd/adapter",
    },
)

PROMETHEUS_ADAPTER = _family(
    "prometheus-adapter",
    "sigs.k8s.io/prometheus-adapter",
    {"prometheus-adapter": "sigs.k8s.io/prometheus-adapter/cmd/adapter"},
)

SOURCE_CONTROLLER = _family(
    "source-controller",
    "github.com/fluxcd/source-controller",
    {"source-controller": "github.com/fluxcd/source-controller"},
)

KUSTOMIZE_CONTROLLER = _family(
    "kustomize-controller",
    "github.com/fluxcd/kustomize-controller",
    {"kustomize-controller": "github.com/fluxcd/kustomize-controller"},
)

HELM_CONTROLLER = _family(
    "helm-controller",
    "github.com/fluxcd/helm-controller",
    {"helm-controller": "github.com/fluxcd/helm-controller"},
)

# A program of our own around the code by which Argo CD runs health scripts.
ARGO_CD_HEALTH = _family("argocd-health", "github.com/argoproj/argo-cd/v3", {"argocd-health": "."})

ADDON_FAMILIES = (
    KEDA,
    PROMETHEUS_ADAPTER,
    SOURCE_CONTROLLER,
    KUSTOMIZE_CONTROLLER,
    HELM_CONTROLLER,
    ARGO_CD_HEALTH,
)

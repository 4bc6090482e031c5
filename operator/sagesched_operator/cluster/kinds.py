"""The kinds that the operator reads and writes."""

from __future__ import annotations

from dataclasses import dataclass

from sagesched_operator.api.pool import API_VERSION, KIND, PLURAL


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of the API.

    Attributes:
        api_version: `group/version`, or `v1`.
        name: as in `kind`.
        plural: as in paths.
    """

    api_version: str
    name: str
    plural: str

    @property
    def id(self) -> str:
        """`group/version/Kind`."""
        return f"{self.api_version}/{self.name}"

    def path(self, namespace: str | None, name: str = "", subresource: str = "") -> str:
        """Path of one object, or of the collection; namespace None for that of the whole cluster."""
        root = f"/api/{self.api_version}" if "/" not in self.api_version else f"/apis/{self.api_version}"
        space = "" if namespace is None else f"/namespaces/{namespace}"
        parts = [part for part in (self.plural, name, subresource) if part]
        return f"{root}{space}/{'/'.join(parts)}"


POOL = Kind(API_VERSION, KIND, PLURAL)
POD = Kind("v1", "Pod", "pods")
EVENT = Kind("v1", "Event", "events")
LEASE = Kind("coordination.k8s.io/v1", "Lease", "leases")
SERVICE_ACCOUNT = Kind("v1", "ServiceAccount", "serviceaccounts")
CONFIG_MAP = Kind("v1", "ConfigMap", "configmaps")
DEPLOYMENT = Kind("apps/v1", "Deployment", "deployments")
HPA = Kind("autoscaling/v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers")
SCALED_OBJECT = Kind("keda.sh/v1alpha1", "ScaledObject", "scaledobjects")
SCALERS = (HPA, SCALED_OBJECT)
"""What scales a pool."""

CLAIM_TEMPLATE = Kind("resource.k8s.io/v1", "ResourceClaimTemplate", "resourceclaimtemplates")
CONTROLLER_REVISION = Kind("apps/v1", "ControllerRevision", "controllerrevisions")

CHILDREN = (
    SERVICE_ACCOUNT,
    CONFIG_MAP,
    Kind("v1", "Service", "services"),
    Kind("policy/v1", "PodDisruptionBudget", "poddisruptionbudgets"),
    Kind("networking.k8s.io/v1", "NetworkPolicy", "networkpolicies"),
    HPA,
    CONTROLLER_REVISION,
    DEPLOYMENT,
)
"""Kinds of children that every cluster has."""

OPTIONAL_CHILDREN = (
    Kind("monitoring.coreos.com/v1", "PodMonitor", "podmonitors"),
    Kind("monitoring.coreos.com/v1", "PrometheusRule", "prometheusrules"),
    SCALED_OBJECT,
    Kind("inference.networking.k8s.io/v1", "InferencePool", "inferencepools"),
    CLAIM_TEMPLATE,
)
"""Kinds of children that a cluster may lack; as `build.surroundings.OPTIONAL_KINDS`."""

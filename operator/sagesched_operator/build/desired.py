"""`build`: everything that a pool should have, in the order in which it is applied."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sagesched_gateway.settings.config import GatewayConfig
from sagesched_operator.api.pool import Pool
from sagesched_operator.build.claim_template import claim_template
from sagesched_operator.build.config_map import config_map
from sagesched_operator.build.deployment import deployment
from sagesched_operator.build.disruption_budget import disruption_budget
from sagesched_operator.build.gpu import sharing_of
from sagesched_operator.build.inference_pool import inference_pool
from sagesched_operator.build.manifest import Manifest
from sagesched_operator.build.network_policy import network_policy
from sagesched_operator.build.pod import pod_template
from sagesched_operator.build.pod_monitor import pod_monitor
from sagesched_operator.build.prometheus_rule import prometheus_rule
from sagesched_operator.build.revision import controller_revision, revision_of
from sagesched_operator.build.scaler import horizontal_pod_autoscaler, scaled_object
from sagesched_operator.build.service import service
from sagesched_operator.build.service_account import service_account
from sagesched_operator.build.settings import settings_of
from sagesched_operator.build.surroundings import (
    CLAIM_TEMPLATE,
    INFERENCE_POOL,
    POD_MONITOR,
    PROMETHEUS_RULE,
    SCALED_OBJECT,
    Capabilities,
    Installation,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Desired:
    """What a pool should have.

    Attributes:
        objects: manifests, in the order in which they are applied: the Deployment comes last.
        settings: of the gateways.
        revision: name of the pod template.
        sharing: how the predictor gets at the GPU.
        missing: (kind, who asks for it) that the cluster lacks; the pool says so.
        forbidden: what the installation does not allow, in words; nothing is applied then.
    """

    objects: tuple[Manifest, ...]
    settings: GatewayConfig
    revision: str
    sharing: str
    missing: tuple[tuple[str, str], ...] = ()
    forbidden: str = ""


def build(
    pool: Pool,
    installation: Installation,
    capabilities: Capabilities,
    *,
    revision_numbers: dict[str, int] | None = None,
) -> Desired:
    """Everything that a pool should have.

    Args:
        pool: the pool.
        installation: the operator's.
        capabilities: of the cluster.
        revision_numbers: revision → number, of the ControllerRevisions that there are.

    Raises:
        ConfigError: the gateway's settings that follow from the spec are refused by its schema.
        SpecError: a value that the schema lets pass means nothing where it goes.
    """
    settings = settings_of(pool)
    sharing = sharing_of(pool, capabilities)
    template = pod_template(pool, settings, installation, sharing)
    revision = revision_of(template)
    numbers = revision_numbers or {}
    newest = max(numbers.values(), default=0)
    # What came back is the newest again, so that the next change does not forget it first.
    number = newest if newest and numbers.get(revision) == newest else newest + 1
    objects = [
        *service_account(pool),
        config_map(pool, settings),
        service(pool),
        disruption_budget(pool),
        *_optional(pool, installation, capabilities, sharing),
        controller_revision(pool, revision, number),
        deployment(pool, template),
    ]
    return Desired(
        objects=tuple(objects),
        settings=settings,
        revision=revision,
        sharing=sharing,
        missing=tuple(_missing(pool, capabilities)),
        forbidden=_forbidden(pool, installation),
    )


def _optional(
    pool: Pool, installation: Installation, capabilities: Capabilities, sharing: str
) -> Iterator[Manifest]:
    spec = pool.spec
    if spec.security.network_policy == "Strict":
        yield network_policy(pool, installation)
    if spec.observability.monitor == "PodMonitor" and capabilities.has(POD_MONITOR):
        yield pod_monitor(pool, installation)
    if spec.observability.rules and capabilities.has(PROMETHEUS_RULE):
        yield prometheus_rule(pool, installation)
    if sharing == "Claim" and capabilities.has(CLAIM_TEMPLATE):
        yield claim_template(pool)
    if spec.expose.inference_pool is not None and capabilities.has(INFERENCE_POOL):
        yield inference_pool(pool, spec.expose.inference_pool)
    # A scaler would wake a suspended pool up.
    if not spec.suspend and spec.scaling.actuator == "HPA":
        yield horizontal_pod_autoscaler(pool)
    if not spec.suspend and spec.scaling.actuator == "KEDA" and capabilities.has(SCALED_OBJECT):
        yield scaled_object(pool, installation)


def _missing(pool: Pool, capabilities: Capabilities) -> Iterator[tuple[str, str]]:
    """Only what a user asked for by name; monitoring objects are made where they can be."""
    if pool.spec.expose.inference_pool is not None and not capabilities.has(INFERENCE_POOL):
        yield INFERENCE_POOL, "expose.inferencePool"
    if pool.spec.scaling.actuator == "KEDA" and not capabilities.has(SCALED_OBJECT):
        yield SCALED_OBJECT, "scaling.actuator: KEDA"
    if pool.spec.predictor.gpu.sharing == "Claim" and not capabilities.has(CLAIM_TEMPLATE):
        yield CLAIM_TEMPLATE, "predictor.gpu.sharing: Claim"


def _forbidden(pool: Pool, installation: Installation) -> str:
    if pool.spec.model.source.host_path is not None and not installation.allows_host_path:
        return (
            "model.source.hostPath is not allowed by this operator: use pvc, oci or uri, "
            "or install it with pools.allowHostPath=true"
        )
    return ""

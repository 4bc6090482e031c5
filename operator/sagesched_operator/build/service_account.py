"""ServiceAccount: an identity of the pods of its own, without a token."""

from __future__ import annotations

from sagesched_operator.api.pool import Pool
from sagesched_operator.build.manifest import Manifest, manifest


def service_account(pool: Pool) -> Manifest:
    """The object; there is one even where the pods have another, since the operator may not delete any."""
    content = {"automountServiceAccountToken": False}
    annotations = pool.spec.pod_template.service_account.annotations
    return manifest(pool, "v1", "ServiceAccount", pool.name, content, annotations=annotations)


def service_account_name(pool: Pool) -> str:
    """Which one the pods have."""
    return pool.spec.pod_template.service_account.name or pool.name

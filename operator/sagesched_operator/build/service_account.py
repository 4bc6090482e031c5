"""ServiceAccount: an identity of the pods of its own, without a token."""

from __future__ import annotations

from sagesched_operator.api.pool import Pool
from sagesched_operator.build.manifest import Manifest, manifest


def service_account(pool: Pool) -> list[Manifest]:
    """The object; none where the pool names one that exists."""
    account = pool.spec.pod_template.service_account
    if account.name is not None:
        return []
    content = {"automountServiceAccountToken": False}
    return [manifest(pool, "v1", "ServiceAccount", pool.name, content, annotations=account.annotations)]


def service_account_name(pool: Pool) -> str:
    """Which one the pods have."""
    return pool.spec.pod_template.service_account.name or pool.name

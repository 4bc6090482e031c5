"""ServiceAccount: an identity of the pods of its own, without a token."""

from __future__ import annotations

from sagesched_operator.api.pool import Pool
from sagesched_operator.build.manifest import Manifest, manifest


def service_account(pool: Pool) -> Manifest:
    """The object."""
    return manifest(pool, "v1", "ServiceAccount", pool.name, {"automountServiceAccountToken": False})

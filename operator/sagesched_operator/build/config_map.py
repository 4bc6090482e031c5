"""ConfigMap: the gateway's settings. Mounted as a folder, so that a change reaches running pods."""

from __future__ import annotations

from sagesched_gateway.settings.config import GatewayConfig
from sagesched_operator.api.pool import Pool
from sagesched_operator.build.manifest import Manifest, manifest
from sagesched_operator.build.paths import SETTINGS_FILE
from sagesched_operator.build.settings import settings_digest, settings_text
from sagesched_operator.names import SETTINGS_DIGEST, settings_name


def config_map(pool: Pool, settings: GatewayConfig) -> Manifest:
    """The object."""
    return manifest(
        pool,
        "v1",
        "ConfigMap",
        settings_name(pool),
        {"data": {SETTINGS_FILE: settings_text(settings)}},
        annotations={SETTINGS_DIGEST: settings_digest(settings)},
    )

"""Files that come over the net: the container that fetches them, its credentials, and what it has to reach.

The image is called with an address and a folder. It takes credentials as KServe's storage initializer does:
from its environment, for `gs://` from a file, and without a Secret from the identity of its pod.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from sagesched_operator.api.model import GCS_KEY, UriSource
from sagesched_operator.build.manifest import Manifest
from sagesched_operator.build.paths import CREDENTIALS
from sagesched_operator.build.security import restricted
from sagesched_operator.build.surroundings import Installation

_ENDPOINT_VARIABLES = {"s3": "AWS_ENDPOINT_URL", "hf": "HF_ENDPOINT"}

_IDENTITY_SERVICES = {
    # EKS Pod Identity's agent. Roles by web identity need nothing but the token service's https.
    "s3": (("169.254.170.23/32", 80), ("fd00:ec2::23/128", 80)),
    # GKE's metadata server, with and without Dataplane V2.
    "gs": (("169.254.169.254/32", 80), ("169.254.169.252/32", 988)),
}
"""Where a pod asks its node who it is, by scheme."""


def fetch_container(
    what: str, source: UriSource, mounts: list[dict[str, Any]], installation: Installation
) -> dict[str, Any]:
    """The container; the first of `mounts` is where the files go."""
    # Libraries that fetch keep caches in the home folder.
    env = [{"name": "HOME", "value": "/tmp"}]
    if source.endpoint is not None:
        env.append({"name": _ENDPOINT_VARIABLES[_scheme(source)], "value": source.endpoint})
    container: dict[str, Any] = {
        "name": f"fetch-{what}",
        "image": installation.fetch_image,
        "args": [source.uri, mounts[0]["mountPath"]],
        "env": env,
        "securityContext": restricted(),
        "volumeMounts": mounts,
    }
    if _has_credentials_file(source):
        env.append({"name": "GOOGLE_APPLICATION_CREDENTIALS", "value": f"{CREDENTIALS}/{GCS_KEY}"})
        mounts.append({"name": _credentials(what), "mountPath": CREDENTIALS, "readOnly": True})
    elif source.secret_name is not None:
        container["envFrom"] = [{"secretRef": {"name": source.secret_name}}]
    return container


def credentials_volumes(what: str, source: UriSource) -> list[dict[str, Any]]:
    """The Secret, where it is needed as a file."""
    if not _has_credentials_file(source):
        return []
    return [
        # Read through the pod's group.
        {"name": _credentials(what), "secret": {"secretName": source.secret_name, "defaultMode": 0o440}}
    ]


def egress_to(source: UriSource) -> list[Manifest]:
    """Rules of a NetworkPolicy: the store, and who tells the pod's identity where that is asked for."""
    url = urlsplit(source.endpoint or "https://")
    rules: list[Manifest] = [_to_port(url.port or (443 if url.scheme == "https" else 80))]
    if source.secret_name is None:
        rules += [
            {"to": [{"ipBlock": {"cidr": cidr}}], **_to_port(port)}
            for cidr, port in _IDENTITY_SERVICES.get(_scheme(source), ())
        ]
    return rules


def _to_port(port: int) -> Manifest:
    return {"ports": [{"protocol": "TCP", "port": port}]}


def _scheme(source: UriSource) -> str:
    return source.uri.partition("://")[0]


def _has_credentials_file(source: UriSource) -> bool:
    return source.secret_name is not None and _scheme(source) == "gs"


def _credentials(what: str) -> str:
    return f"sagesched-{what}-credentials"

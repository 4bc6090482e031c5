"""The files that a control plane starts with: keys, users, what is audited."""

from __future__ import annotations

from collections.abc import Mapping

from cluster import audit, credentials
from cluster.commands import Layout


def write_plane_files(at: Layout, users: Mapping[str, tuple[str, str]] = credentials.USERS) -> dict[str, str]:
    """Write them, and a kubeconfig for each user; returns name → token.

    Args:
        at: where to, and where the API server will listen.
        users: as in `credentials`.
    """
    for folder in (at.certificates, at.folder / "log"):
        folder.mkdir(parents=True, exist_ok=True)
    credentials.write_signing_key(at.certificates / "sa.key", at.certificates / "sa.pub")
    credentials.write_front_proxy(*at.front_proxy)
    tokens = credentials.write_tokens(at.folder / "tokens.csv", users)
    for name, token in tokens.items():
        credentials.write_kubeconfig(at.kubeconfig(name), at.url, at.authority, token)
    (at.folder / "audit.yaml").write_text(audit.POLICY)
    return tokens

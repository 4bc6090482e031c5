"""Who may talk to the cluster.

Static tokens of a few users, made at random for each cluster, and the key that signs the tokens of service
accounts.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from pathlib import Path

import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

KEY_BITS = 2048

USERS = {
    "admin": ("admin", "system:masters"),
    "controller-manager": ("system:kube-controller-manager", ""),
    "scheduler": ("system:kube-scheduler", ""),
}
"""Name of the kubeconfig → user and group."""


def write_tokens(file: Path, users: Mapping[str, tuple[str, str]] = USERS) -> dict[str, str]:
    """A file for `--token-auth-file`; returns name → token.

    Args:
        file: where it is written.
        users: as `USERS`.
    """
    tokens = {name: secrets.token_hex(16) for name in users}
    rows = [f'{tokens[name]},{user},{name},"{group}"' for name, (user, group) in users.items()]
    _write_private(file, "\n".join(rows) + "\n")
    return tokens


def write_signing_key(private: Path, public: Path) -> None:
    """The pair that signs and checks the tokens of service accounts."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=KEY_BITS)
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    )
    _write_private(private, pem.decode())
    public.write_bytes(
        key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    )


def write_kubeconfig(file: Path, url: str, authority: Path, token: str, namespace: str = "default") -> Path:
    """A kubeconfig for one user of one cluster; returns the file."""
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {"name": "cluster", "cluster": {"server": url, "certificate-authority": str(authority)}}
        ],
        "users": [{"name": "user", "user": {"token": token}}],
        "contexts": [
            {"name": "cluster", "context": {"cluster": "cluster", "user": "user", "namespace": namespace}}
        ],
        "current-context": "cluster",
    }
    _write_private(file, yaml.safe_dump(document))
    return file


def _write_private(file: Path, text: str) -> None:
    file.touch(mode=0o600)
    file.write_text(text)

"""Who may talk to the cluster.

Static tokens of a few users, made at random for each cluster, the key that signs the tokens of service
accounts, and the certificate by which the API server shows itself to API servers behind it.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

KEY_BITS = 2048
FRONT_PROXY = "front-proxy-client"
"""Name in the certificate that the API server shows to API servers behind it."""

_VALID = timedelta(days=30)

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
    _write_private(private, _private_pem(key))
    public.write_bytes(
        key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    )


def write_front_proxy(authority: Path, certificate: Path, private: Path) -> None:
    """The API server's certificate for API servers behind it (metrics adapters), and who vouches for it."""
    authority_key, key = (rsa.generate_private_key(65537, KEY_BITS) for _ in range(2))
    issuer = _certificate_name("front-proxy-ca")
    is_authority = x509.BasicConstraints(ca=True, path_length=None)
    root = _certificate(issuer, issuer, authority_key, is_authority).sign(authority_key, hashes.SHA256())
    is_client = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])
    client = _certificate(_certificate_name(FRONT_PROXY), issuer, key, is_client)
    authority.write_bytes(root.public_bytes(serialization.Encoding.PEM))
    certificate.write_bytes(
        client.sign(authority_key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    )
    _write_private(private, _private_pem(key))


def _certificate_name(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _certificate(
    subject: x509.Name, issuer: x509.Name, key: rsa.RSAPrivateKey, purpose: x509.ExtensionType
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + _VALID)
        .add_extension(purpose, critical=True)
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


def _private_pem(key: rsa.RSAPrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    ).decode()


def _write_private(file: Path, text: str) -> None:
    file.touch(mode=0o600)
    file.write_text(text)

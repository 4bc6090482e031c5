"""The certificate that the API server shows to those behind it."""

from __future__ import annotations

from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID

from cluster.credentials import FRONT_PROXY, write_front_proxy


def test_the_front_proxy_is_vouched_for_by_its_own_authority(tmp_path: Path) -> None:
    authority, certificate, key = (tmp_path / name for name in ("ca.crt", "client.crt", "client.key"))
    write_front_proxy(authority, certificate, key)
    root, client = (x509.load_pem_x509_certificate(file.read_bytes()) for file in (authority, certificate))
    client.verify_directly_issued_by(root)
    private = load_pem_private_key(key.read_bytes(), None)
    assert private.public_key() == client.public_key()
    assert client.subject.rfc4514_string() == f"CN={FRONT_PROXY}"
    uses = client.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(uses) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    assert key.stat().st_mode & 0o077 == 0

"""Certificates for tests: an authority that issues them, and a folder as Kubernetes mounts a Secret."""

from __future__ import annotations

import datetime
import ipaddress
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption
from cryptography.hazmat.primitives.serialization import PrivateFormat as Format

_HOUR = datetime.timedelta(hours=1)
_USAGE = x509.KeyUsage(
    digital_signature=True,
    key_cert_sign=True,
    crl_sign=True,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    encipher_only=False,
    decipher_only=False,
)


class Issued(NamedTuple):
    """PEM."""

    certificate: bytes
    key: bytes


class Authority:
    """Issues certificates for 127.0.0.1."""

    def __init__(self, name: str = "tests") -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        ca = x509.BasicConstraints(ca=True, path_length=0)
        builder = _builder(self._name, self._name, self._key, 24)
        builder = builder.add_extension(ca, critical=True).add_extension(_USAGE, critical=True)
        self.pem = self._sign(builder)

    def issue(self, name: str = "gateway", *, hours: float = 12, password: bytes | None = None) -> Issued:
        """A certificate that ends in so many hours, and its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        names = x509.SubjectAlternativeName(
            [x509.IPAddress(ipaddress.ip_address("127.0.0.1")), x509.DNSName("localhost")]
        )
        builder = _builder(subject, self._name, key, hours).add_extension(names, critical=False)
        issuer_key = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        builder = builder.add_extension(issuer_key, critical=False)
        form = NoEncryption() if password is None else BestAvailableEncryption(password)
        return Issued(self._sign(builder), key.private_bytes(Encoding.PEM, Format.PKCS8, form))

    def _sign(self, builder: x509.CertificateBuilder) -> bytes:
        return builder.sign(self._key, hashes.SHA256()).public_bytes(Encoding.PEM)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, hours: float
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - 24 * _HOUR)
        .not_valid_after(now + hours * _HOUR)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def serial_of(pem: bytes | str) -> int:
    """Of the first certificate."""
    data = pem.encode() if isinstance(pem, str) else pem
    return x509.load_pem_x509_certificate(data).serial_number


class SecretMount:
    """Files as kubelet mounts them: links into a folder that is swapped in one step."""

    def __init__(self, folder: Path, **files: bytes) -> None:
        """`crt`, `key` and, for callers' certificates, `ca`."""
        self.folder = folder
        folder.mkdir(exist_ok=True)
        self._number = 0
        self.swap(**files)
        for name in ("tls.crt", "tls.key", "ca.crt"):
            (folder / name).symlink_to(Path("..data") / name)

    def swap(self, **files: bytes) -> None:
        """The next version."""
        self._number += 1
        new = self.folder / f"..{self._number}"
        new.mkdir()
        names = {"crt": "tls.crt", "key": "tls.key", "ca": "ca.crt"}
        for part, content in files.items():
            (new / names[part]).write_bytes(content)
        beside = self.folder / "..data_tmp"
        beside.symlink_to(new.name)
        beside.rename(self.folder / "..data")

"""A folder with certificates, as a Secret of type `kubernetes.io/tls` is mounted: read and checked.

Everything is looked at before any of it is used: a certificate that does not belong to its key would be
taken by neither gRPC nor OpenSSL, but told only at each caller's handshake.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from sagesched_gateway.file_state import FileState, state_of

CHAIN, KEY, CLIENT_ROOTS = "tls.crt", "tls.key", "ca.crt"


class CertificateError(ValueError):
    """The files cannot be used; the message names the file and what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Certificates:
    """What a server shows and asks for.

    Attributes:
        chain: PEM, the server's own certificate first.
        key: PEM.
        client_roots: PEM of those who issue callers' certificates; None asks callers for none.
        expires_at: when the first certificate of the chain does; aware, UTC.
        context: the same for OpenSSL.
    """

    chain: bytes
    key: bytes
    client_roots: bytes | None
    expires_at: datetime
    context: ssl.SSLContext


def load(folder: Path, *, asks_clients: bool) -> Certificates:
    """Read and check the files.

    Args:
        folder: where they are.
        asks_clients: callers must show a certificate.

    Raises:
        CertificateError: one is missing, is not what it should be, or they do not belong together.
    """
    chain, key = _read(folder / CHAIN), _read(folder / KEY)
    roots = _read(folder / CLIENT_ROOTS) if asks_clients else None
    first = _certificates(folder / CHAIN, chain)[0]
    if _public_bytes(folder / KEY, key) != first.public_key().public_bytes(
        Encoding.DER, PublicFormat.SubjectPublicKeyInfo
    ):
        raise CertificateError(f"{folder / KEY}: is not the key of the first certificate in {CHAIN}")
    if roots is not None:
        _certificates(folder / CLIENT_ROOTS, roots)
    context = _context(folder, roots)
    return Certificates(chain, key, roots, first.not_valid_after_utc, context)


def states_of(folder: Path) -> tuple[FileState, ...]:
    """Differs from before when a file of the folder has changed."""
    return tuple(state_of(folder / name) for name in (CHAIN, KEY, CLIENT_ROOTS))


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise CertificateError(f"{file}: cannot be read: {error.strerror or error}") from error


def _certificates(file: Path, pem: bytes) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(pem)
    except ValueError as error:
        raise CertificateError(f"{file}: holds no certificate in PEM form that can be read") from error


def _public_bytes(file: Path, pem: bytes) -> bytes:
    try:
        key = load_pem_private_key(pem, password=None)
    except TypeError as error:
        raise CertificateError(f"{file}: is encrypted; give the key without a password") from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise CertificateError(f"{file}: holds no private key in PEM form that can be read") from error
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _context(folder: Path, client_roots: bytes | None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_cert_chain(folder / CHAIN, folder / KEY)
        if client_roots is not None:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(cadata=client_roots.decode("ascii"))
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        raise CertificateError(f"{folder}: cannot be used for TLS: {error}") from error
    return context

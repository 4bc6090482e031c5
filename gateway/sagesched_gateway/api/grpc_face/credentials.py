"""gRPC's side of TLS: credentials that ask at each handshake whether there are newer certificates."""

from __future__ import annotations

import threading

import grpc

from sagesched_gateway.tls.follower import CertificateFollower


def server_credentials(follower: CertificateFollower, *, asks_clients: bool) -> grpc.ServerCredentials:
    """Credentials that show what the follower has.

    Args:
        follower: keeps the certificates.
        asks_clients: callers must show one too.
    """
    shown = follower.version
    lock = threading.Lock()

    def newer() -> grpc.ServerCertificateConfiguration | None:
        # Called by gRPC's own threads, at the start of each handshake; None means "as before".
        nonlocal shown
        with lock:
            if shown == follower.version:
                return None
            shown = follower.version
            return _configuration(follower)

    return grpc.dynamic_ssl_server_credentials(_configuration(follower), newer, asks_clients)


def _configuration(follower: CertificateFollower) -> grpc.ServerCertificateConfiguration:
    current = follower.current
    return grpc.ssl_server_certificate_configuration([(current.key, current.chain)], current.client_roots)

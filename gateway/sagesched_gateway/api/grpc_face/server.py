"""The gRPC server: its options, from the settings, and its start."""

from __future__ import annotations

from collections.abc import Sequence

import grpc
import grpc.aio

from sagesched_gateway.settings.config import GatewayConfig

Options = tuple[tuple[str, int], ...]

_LARGEST_INT = 2**31 - 1  # gRPC's options are 32 bits wide
_ALWAYS: Options = (
    ("grpc.max_send_message_length", -1),
    # Queued callers legitimately see silence: let them ping.
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
    # A caller whose host vanished says nothing; without pings its requests would be run for nobody.
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.http2.max_pings_without_data", 0),
    # Two gateways on one port would split the queue unnoticed.
    ("grpc.so_reuseport", 0),
)


def server_options(config: GatewayConfig) -> Options:
    """Options of the server for the given limits; gRPC itself spreads the age of connections by +-10 %."""
    header_bytes = min(config.limits.header_bytes, _LARGEST_INT)
    options = (
        *_ALWAYS,
        ("grpc.max_receive_message_length", min(config.limits.message_bytes, _LARGEST_INT)),
        # Between the two gRPC refuses by chance.
        ("grpc.max_metadata_size", header_bytes),
        ("grpc.absolute_max_metadata_size", header_bytes),
    )
    if not config.listen.connection_age_s:
        return options
    # No grace is set: it would cut what still runs on an old connection, as long as that may wait and run.
    return (*options, ("grpc.max_connection_age_ms", max(_milliseconds(config.listen.connection_age_s), 1)))


async def serve_grpc(
    handlers: Sequence[grpc.GenericRpcHandler],
    address: str,
    options: Options,
    credentials: grpc.ServerCredentials | None = None,
) -> tuple[grpc.aio.Server, int]:
    """Start serving, with TLS where there are credentials; returns the server and its port.

    Raises:
        OSError: the address cannot be bound.
    """
    server = grpc.aio.server(options=options)
    server.add_generic_rpc_handlers(tuple(handlers))
    try:
        if credentials is None:
            port = server.add_insecure_port(address)
        else:
            port = server.add_secure_port(address, credentials)
    except RuntimeError as error:
        raise OSError(f"cannot listen on {address}: in use, or not an address of this machine") from error
    await server.start()
    return server, port


def _milliseconds(seconds: float) -> int:
    return int(min(seconds * 1000, _LARGEST_INT))

from __future__ import annotations

import socket

import pytest

from sagesched_gateway.pod.clients import num_connected


@pytest.mark.parametrize(("family", "host"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")])
def test_connections_count_while_they_are_open(family, host):
    with (
        socket.create_server((host, 0), family=family) as listener,
        socket.create_server(("127.0.0.1", 0)) as other,
    ):
        port = listener.getsockname()[1]
        assert num_connected({port}) == 0  # who listens is not connected
        with socket.create_connection((host, port)), listener.accept()[0] as accepted:
            assert num_connected({port}) == 1
            assert num_connected({port, other.getsockname()[1]}) == 1
            assert num_connected(()) == 0
            accepted.close()
        assert num_connected({port}) == 0

"""Server reflection, so that tools such as grpcurl need no proto files; Triton has none.

The messages of `grpc.reflection.v1` are those of `v1alpha`, byte for byte, so one servicer answers both.
"""

from __future__ import annotations

from typing import Any

import grpc
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection, reflection_pb2

from sagesched_gateway.api.grpc_face import health
from sagesched_gateway.kserve import SERVICE

_VERSIONS = ("grpc.reflection.v1", "grpc.reflection.v1alpha")
_METHOD = "ServerReflection/ServerReflectionInfo"


class ReflectionFace(grpc.GenericRpcHandler):  # type: ignore[misc]  # grpc has no types
    """Finds the handler of the reflection method in both versions."""

    def __init__(self) -> None:
        # The health service's file is in the pool of descriptors because it was imported.
        assert health_pb2.DESCRIPTOR.package in health.SERVICE
        servicer = reflection.aio.ReflectionServicer((SERVICE, health.SERVICE, reflection.SERVICE_NAME))
        handler = grpc.stream_stream_rpc_method_handler(
            servicer.ServerReflectionInfo,
            request_deserializer=reflection_pb2.ServerReflectionRequest.FromString,
            response_serializer=reflection_pb2.ServerReflectionResponse.SerializeToString,
        )
        self._handlers: dict[str, Any] = {f"/{version}.{_METHOD}": handler for version in _VERSIONS}

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        """The handler of a reflection method."""
        return self._handlers.get(handler_call_details.method)

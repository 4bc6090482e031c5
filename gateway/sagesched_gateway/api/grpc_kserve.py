"""The gRPC face: KServe v2 and gRPC health on the ports of Triton, so that clients change nothing.

Inference on models that generate text is queued by dispatch; liveness is our own, readiness is Triton's and
ours; every other unary method of the service is passed on in bytes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import grpc
import grpc.aio
from google.protobuf.message import DecodeError

from sagesched_gateway.api.grpc_passthrough import (
    CallContext,
    RawUpstream,
    abort,
    forward_unary,
    forwarded_metadata,
)
from sagesched_gateway.api.grpc_stream import StreamSession
from sagesched_gateway.dispatch.dispatcher import Dispatcher
from sagesched_gateway.dispatch.ports import Readiness
from sagesched_gateway.errors import GatewayError, InvalidRequestError, UpstreamError
from sagesched_gateway.kserve import (
    FINAL_PARAMETER,
    SERVICE,
    ModelInferRequest,
    ModelReadyResponse,
    ServerLiveResponse,
    ServerReadyResponse,
)

SERVER_OPTIONS = (
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    # Queued callers legitimately see silence: let them ping.
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
    # Two gateways on one port would split the queue unnoticed.
    ("grpc.so_reuseport", 0),
)

HEALTH_CHECK = "/grpc.health.v1.Health/Check"
_PROBE_TIMEOUT_S = 2.0
_NOT_SERVING = b"\x08\x02"  # HealthCheckResponse with field 1 (status) = NOT_SERVING

_Unary = Callable[[bytes, CallContext], Awaitable[bytes]]


class KServeFace(grpc.GenericRpcHandler):  # type: ignore[misc]  # grpc has no types
    """Finds the handler of each method; all of them deal in bytes."""

    def __init__(self, dispatcher: Dispatcher, upstream: RawUpstream, readiness: Readiness) -> None:
        self._dispatcher = dispatcher
        self._upstream = upstream
        self._readiness = readiness
        self._prefix = f"/{SERVICE}/"
        self._handlers: dict[str, grpc.RpcMethodHandler] = {
            self._prefix + "ModelStreamInfer": grpc.stream_stream_rpc_method_handler(self._stream_infer),
            self._prefix + "ModelInfer": grpc.unary_unary_rpc_method_handler(self._infer),
            self._prefix + "ServerLive": grpc.unary_unary_rpc_method_handler(self._server_live),
            self._prefix + "ServerReady": grpc.unary_unary_rpc_method_handler(self._server_ready),
            self._prefix + "ModelReady": self._unless_draining(
                "ModelReady", ModelReadyResponse(ready=False).SerializeToString()
            ),
            HEALTH_CHECK: grpc.unary_unary_rpc_method_handler(self._health_check),
        }

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        """The handler of a method; None (UNIMPLEMENTED) for methods that are not Triton's."""
        path: str = handler_call_details.method
        handler = self._handlers.get(path)
        if handler is None and path.startswith(self._prefix):
            handler = grpc.unary_unary_rpc_method_handler(self._passed_on(path))
        return handler

    async def _stream_infer(self, _: object, context: CallContext) -> None:
        await StreamSession(self._dispatcher, self._upstream, context).run()

    async def _infer(self, body: bytes, context: CallContext) -> bytes:
        """Queue a request to a model that answers once; a decoupled model's refusal is Triton's to give."""
        path = self._prefix + "ModelInfer"
        try:
            message = ModelInferRequest.FromString(body)
            is_queued = await self._dispatcher.resolve(message.model_name)
            if is_queued and not self._dispatcher.is_decoupled(message.model_name):
                return await self._generate(message, body, context)
        except (InvalidRequestError, DecodeError):
            pass  # Triton is the judge, in its own words
        except GatewayError as error:
            await abort(context, error)
        return await forward_unary(self._upstream, path, body, context)

    async def _generate(self, message: ModelInferRequest, body: bytes, context: CallContext) -> bytes:
        remaining_s = context.time_remaining()
        generation = self._dispatcher.generate(
            message,
            body=body,
            deadline_at=None if remaining_s is None else asyncio.get_running_loop().time() + remaining_s,
            metadata=forwarded_metadata(context),
        )
        try:
            async for response in generation:
                # A mark of streams, which a unary answer does not carry.
                if FINAL_PARAMETER in response.parameters:
                    del response.parameters[FINAL_PARAMETER]
                encoded: bytes = response.SerializeToString()
                return encoded
        finally:
            generation.close()
        raise UpstreamError("the model ended the request without a response", code="INTERNAL")

    async def _server_live(self, _: bytes, context: CallContext) -> bytes:
        """Our own life: were Triton's included, kubelet would restart the gateway for it."""
        encoded: bytes = ServerLiveResponse(live=True).SerializeToString()
        return encoded

    async def _server_ready(self, body: bytes, context: CallContext) -> bytes:
        """Triton's readiness, unless draining; `false` rather than an error where Triton is away."""
        path = self._prefix + "ServerReady"
        return await self._ready_answer(path, body, ServerReadyResponse(ready=False).SerializeToString())

    async def _health_check(self, body: bytes, context: CallContext) -> bytes:
        return await self._ready_answer(HEALTH_CHECK, body, _NOT_SERVING)

    async def _ready_answer(self, path: str, body: bytes, not_ready: bytes) -> bytes:
        if not self._readiness.is_ready:
            return not_ready
        try:
            return await self._upstream.unary(path, body, timeout_s=_PROBE_TIMEOUT_S)
        except grpc.aio.AioRpcError:
            return not_ready

    def _unless_draining(self, method: str, not_ready: bytes) -> grpc.RpcMethodHandler:
        passed_on = self._passed_on(self._prefix + method)

        async def answer(body: bytes, context: CallContext) -> bytes:
            return not_ready if self._readiness.is_draining else await passed_on(body, context)

        return grpc.unary_unary_rpc_method_handler(answer)

    def _passed_on(self, path: str) -> _Unary:
        async def pass_on(body: bytes, context: CallContext) -> bytes:
            return await forward_unary(self._upstream, path, body, context)

        return pass_on


async def serve_grpc(face: KServeFace, address: str) -> tuple[grpc.aio.Server, int]:
    """Start serving; returns the server and its port.

    Raises:
        OSError: the address cannot be bound.
    """
    server = grpc.aio.server(options=SERVER_OPTIONS)
    server.add_generic_rpc_handlers((face,))
    try:
        port = server.add_insecure_port(address)
    except RuntimeError as error:
        raise OSError(f"cannot listen on {address}: in use, or not an address of this machine") from error
    await server.start()
    return server, port

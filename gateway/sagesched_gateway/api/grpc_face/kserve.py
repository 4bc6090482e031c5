"""The gRPC face: KServe v2 on the port of Triton, so that clients change nothing.

Inference on models that generate text is queued by dispatch; liveness is our own, readiness is Triton's and
ours; management is behind a gate; every other unary method of the service is passed on in bytes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import grpc
import grpc.aio
from google.protobuf.message import DecodeError

from sagesched_gateway.api.admin_gate import AdminGate
from sagesched_gateway.api.attributes import AttributeReader
from sagesched_gateway.api.grpc_face.call_attributes import CallAttributes
from sagesched_gateway.api.grpc_face.health import CHECK as HEALTH_CHECK
from sagesched_gateway.api.grpc_face.health import NOT_SERVING
from sagesched_gateway.api.grpc_face.passthrough import (
    CallContext,
    RawUpstream,
    abort,
    forward_unary,
    forwarded_metadata,
    is_for_triton,
)
from sagesched_gateway.api.grpc_face.stream import StreamBounds, StreamSession
from sagesched_gateway.api.passed_calls import PassedCalls
from sagesched_gateway.api.sweeper import Sweeper
from sagesched_gateway.dispatch.dispatcher import Dispatcher
from sagesched_gateway.dispatch.ports import Readiness
from sagesched_gateway.errors import ForbiddenError, GatewayError, InvalidRequestError, UpstreamError
from sagesched_gateway.kserve import (
    FINAL_PARAMETER,
    SERVICE,
    ModelInferRequest,
    ModelReadyResponse,
    ServerLiveResponse,
    ServerReadyResponse,
)
from sagesched_gateway.request import Attributes
from sagesched_gateway.text_tensors import refuse_classes_of_texts, refuse_cut_texts, refuse_many_fields

_PROBE_TIMEOUT_S = 2.0

_Unary = Callable[[bytes, CallContext], Awaitable[bytes]]


class KServeFace(grpc.GenericRpcHandler):  # type: ignore[misc]  # grpc has no types
    """Finds the handler of each method; all of them deal in bytes.

    Attributes:
        bounds: of streams that are opened.
    """

    def __init__(
        self,
        dispatcher: Dispatcher,
        upstream: RawUpstream,
        readiness: Readiness,
        *,
        gate: AdminGate,
        reader: AttributeReader,
        sweeper: Sweeper,
        bounds: StreamBounds,
        passed: PassedCalls,
    ) -> None:
        """Put together.

        Args:
            dispatcher: takes what generates.
            upstream: Triton, for the rest.
            readiness: of this gateway.
            gate: refuses management calls.
            reader: reads attributes of requests.
            sweeper: looks at open streams.
            bounds: of streams opened from now on; may be replaced.
            passed: counts what is only passed on.
        """
        self.bounds = bounds
        self._dispatcher = dispatcher
        self._upstream = upstream
        self._readiness = readiness
        self._gate = gate
        self._reader = reader
        self._sweeper = sweeper
        self._passed = passed
        self._prefix = f"/{SERVICE}/"
        self._handlers: dict[str, grpc.RpcMethodHandler] = {
            self._prefix + "ModelStreamInfer": grpc.stream_stream_rpc_method_handler(self._stream_infer),
            self._prefix + "ModelInfer": grpc.unary_unary_rpc_method_handler(self._infer),
            self._prefix + "ServerLive": grpc.unary_unary_rpc_method_handler(self._server_live),
            self._prefix + "ServerReady": grpc.unary_unary_rpc_method_handler(self._server_ready),
            self._prefix + "ModelReady": self._unless_draining(
                "ModelReady", ModelReadyResponse(ready=False).SerializeToString()
            ),
        }

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        """The handler of a method; None (UNIMPLEMENTED) for methods that are not Triton's."""
        path: str = handler_call_details.method
        handler = self._handlers.get(path)
        if handler is None and path.startswith(self._prefix):
            handler = grpc.unary_unary_rpc_method_handler(self._passed_on(path))
        return handler

    async def _stream_infer(self, _: object, context: CallContext) -> None:
        try:
            attributes = CallAttributes(self._reader, context)
        except InvalidRequestError as error:
            await abort(context, error)
            return
        session = StreamSession(
            self._dispatcher, self._upstream, context, attributes, self.bounds, self._passed
        )
        self._sweeper.add(session)
        try:
            await session.run()
        finally:
            self._sweeper.discard(session)

    async def _infer(self, body: bytes, context: CallContext) -> bytes:
        """Queue a request to a model that answers once; a decoupled model's refusal is Triton's to give."""
        try:
            call = CallAttributes(self._reader, context)
            refuse_many_fields(body)
            message = ModelInferRequest.FromString(body)
            refuse_cut_texts(message)
            attributes, body = call.take(message, body)
        except DecodeError:
            return await self._judged_by_triton(body, context)
        except InvalidRequestError as error:
            await abort(context, error)
        try:
            is_queued = await self._dispatcher.resolve(message.model_name)
            if is_queued and not self._dispatcher.is_decoupled(message.model_name):
                return await self._generate(message, body, context, call, attributes)
            refuse_classes_of_texts(message, self._dispatcher.text_outputs(message.model_name))
        except GatewayError as error:
            if not is_for_triton(error):
                await abort(context, error)
        return await self._judged_by_triton(body, context)

    async def _judged_by_triton(self, body: bytes, context: CallContext) -> bytes:
        """What cannot be queued is answered, or refused, in Triton's own words."""
        return await self._forward(self._prefix + "ModelInfer", body, context)

    async def _forward(self, path: str, body: bytes, context: CallContext) -> bytes:
        with self._passed.one():
            return await forward_unary(self._upstream, path, body, context)

    async def _generate(
        self,
        message: ModelInferRequest,
        body: bytes,
        context: CallContext,
        call: CallAttributes,
        attributes: Attributes,
    ) -> bytes:
        remaining_s = context.time_remaining()
        generation = self._dispatcher.generate(
            message,
            body=body,
            deadline_at=None if remaining_s is None else asyncio.get_running_loop().time() + remaining_s,
            metadata=forwarded_metadata(context),
            attributes=attributes,
        )
        try:
            # To its end: to leave with the response would be to cancel what has not been noted as ended yet.
            responses = [response async for response in generation]
        finally:
            generation.close()
        if not responses:
            raise UpstreamError("the model ended the request without a response", code="INTERNAL")
        response = responses[0]
        # A mark of streams, which a unary answer does not carry.
        if FINAL_PARAMETER in response.parameters:
            del response.parameters[FINAL_PARAMETER]
        if attributes.wants_report:
            call.report(generation, response)
        encoded: bytes = response.SerializeToString()
        return encoded

    async def _server_live(self, _: bytes, context: CallContext) -> bytes:
        """Our own life: were Triton's included, kubelet would restart the gateway for it."""
        encoded: bytes = ServerLiveResponse(live=True).SerializeToString()
        return encoded

    async def _server_ready(self, body: bytes, context: CallContext) -> bytes:
        """Triton's readiness, unless draining; `false` rather than an error where Triton is away."""
        path = self._prefix + "ServerReady"
        return await self._ready_answer(path, body, ServerReadyResponse(ready=False).SerializeToString())

    async def check_health(self, body: bytes) -> bytes:
        """Triton's own answer to a health check; NOT_SERVING where Triton is away."""
        return await self._ready_answer(HEALTH_CHECK, body, NOT_SERVING)

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
        method = path.rpartition("/")[2]

        async def pass_on(body: bytes, context: CallContext) -> bytes:
            try:
                self._gate.check_grpc(method, body)
            except ForbiddenError as error:
                await abort(context, error)
            return await self._forward(path, body, context)

        return pass_on

"""KEDA's external scaler: how many pods a pool wants, answered by every replica of the operator.

What is not known is an error, never a 0: KEDA then keeps what there is, or what its fallback says.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc
import grpc.aio

from sagesched_operator.build.scaler import METRIC
from sagesched_operator.cluster.cache import PoolKey
from sagesched_operator.control import external_scaler as wire
from sagesched_operator.control.signal import Signal, SignalUnknownError

_UNIT = 1000
"""Values are whole numbers on the wire of older KEDA: thousandths of a pod."""

_STREAM_EACH_S = 10.0


class ScalerService:
    """The four calls."""

    def __init__(self, signal: Callable[[PoolKey], Signal]) -> None:
        """Take what tells the signal of a pool; it raises `SignalUnknownError`."""
        self._signal = signal

    def handlers(self) -> grpc.GenericRpcHandler:
        """To be added to a server."""
        unary = grpc.unary_unary_rpc_method_handler
        stream = grpc.unary_stream_rpc_method_handler
        ref = wire.ScaledObjectRef.FromString

        def out(message: Any) -> bytes:
            text: bytes = message.SerializeToString()
            return text

        return grpc.method_handlers_generic_handler(
            wire.SERVICE,
            {
                "IsActive": unary(self._is_active, ref, out),
                "StreamIsActive": stream(self._stream_is_active, ref, out),
                "GetMetricSpec": unary(self._metric_spec, ref, out),
                "GetMetrics": unary(self._metrics, wire.GetMetricsRequest.FromString, out),
            },
        )

    async def _is_active(self, ref: Any, context: grpc.aio.ServicerContext) -> Any:
        signal = await self._ask(ref, context)
        return wire.IsActiveResponse(result=signal.wanted > 0)

    async def _stream_is_active(self, ref: Any, context: grpc.aio.ServicerContext) -> AsyncIterator[Any]:
        while True:
            signal = await self._ask(ref, context)
            yield wire.IsActiveResponse(result=signal.wanted > 0)
            await asyncio.sleep(_STREAM_EACH_S)

    async def _metric_spec(self, ref: Any, _: grpc.aio.ServicerContext) -> Any:
        return wire.GetMetricSpecResponse(metricSpecs=[wire.MetricSpec(metricName=METRIC, targetSize=_UNIT)])

    async def _metrics(self, request: Any, context: grpc.aio.ServicerContext) -> Any:
        signal = await self._ask(request.scaledObjectRef, context)
        value = wire.MetricValue(metricName=METRIC, metricValue=round(signal.wanted * _UNIT))
        return wire.GetMetricsResponse(metricValues=[value])

    async def _ask(self, ref: Any, context: grpc.aio.ServicerContext) -> Signal:
        # The namespace is the ScaledObject's own: nobody scales by another namespace's load.
        pool = ref.scalerMetadata.get("pool", ref.name)
        try:
            return self._signal((ref.namespace, pool))
        except SignalUnknownError as error:
            await context.abort(grpc.StatusCode.UNAVAILABLE, str(error))
            raise  # never reached: abort raises

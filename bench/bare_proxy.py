"""The least that a proxy in Python can do: grpc.aio on both sides, bytes in, bytes out, nothing read.

    python bench/bare_proxy.py 127.0.0.1:8001

What the gateway costs beyond this is its own; what this costs is the price of a second hop. Event loop and
garbage collector are set as in the gateway. Prints `{"grpc": "host:port"}` when it listens; ends with its
standard input.
"""

from __future__ import annotations

import asyncio
import gc
import json
import subprocess
import sys
from types import TracebackType
from typing import Any, Self

import grpc
import grpc.aio
import uvloop

STREAM_INFER = "/inference.GRPCInferenceService/ModelStreamInfer"
_UNLIMITED = (("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1))
_START_S = 20.0


class BareProxy:
    """The proxy in a process of its own, as a context manager.

    Attributes:
        grpc_address: where it listens; inside the context only.
        pid: its process.
    """

    grpc_address: str
    pid: int

    def __init__(self, upstream: str) -> None:
        self._upstream = upstream
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        command = [sys.executable, __file__, self._upstream]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self._process.stdout is not None
        self.grpc_address = json.loads(self._process.stdout.readline())["grpc"]
        self.pid = self._process.pid
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(_START_S)


class _Forward(grpc.GenericRpcHandler):  # type: ignore[misc]  # grpc has no types
    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stream = channel.stream_stream(STREAM_INFER)

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        if details.method != STREAM_INFER:
            return None
        return grpc.stream_stream_rpc_method_handler(self._forward)

    async def _forward(self, _: object, context: Any) -> None:
        """One request per stream is all that the benchmarks send."""
        body = await context.read()
        call = self._stream()
        await call.write(body)
        await call.done_writing()
        while (message := await call.read()) is not grpc.aio.EOF:
            await context.write(message)


async def _serve(upstream: str) -> None:
    async with grpc.aio.insecure_channel(upstream, options=_UNLIMITED) as channel:
        server = grpc.aio.server(options=(*_UNLIMITED, ("grpc.so_reuseport", 0)))
        server.add_generic_rpc_handlers((_Forward(channel),))
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        gc.collect()
        gc.freeze()
        gc.set_threshold(50_000, 20, 50)
        print(json.dumps({"grpc": f"127.0.0.1:{port}"}), flush=True)
        await asyncio.to_thread(sys.stdin.buffer.read)
        await server.stop(None)


if __name__ == "__main__":
    uvloop.run(_serve(sys.argv[1]))

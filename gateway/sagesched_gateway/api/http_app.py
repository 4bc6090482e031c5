"""The HTTP face: which path goes where.

Generation endpoints go to dispatch, health is answered here, everything else under `/v2` goes to Triton.
"""

from __future__ import annotations

from aiohttp import web

from sagesched_gateway.api.http_errors import errors_as_json
from sagesched_gateway.api.http_generate import GenerateFace
from sagesched_gateway.api.http_passthrough import Passthrough
from sagesched_gateway.dispatch.dispatcher import Dispatcher
from sagesched_gateway.dispatch.ports import Readiness
from sagesched_gateway.errors import DrainingError, UpstreamUnavailableError

MAX_BODY_BYTES = 64 * 2**20
"""Largest body of a generate request: Triton's own default (`--http-max-input-size`)."""

SERVER_OPTIONS = {
    # A caller who leaves must end its handler, or its request would keep its place in the engine.
    "handler_cancellation": True,
    # Compressed bodies are passed on as they are.
    "auto_decompress": False,
    "access_log": None,
}
"""Part of the application, so that they hold whatever runner serves it."""

_MODEL = r"/v2/models/{model}"
_VERSION = _MODEL + r"/versions/{version:\d+}"


def build_http_app(dispatcher: Dispatcher, triton_http_address: str, readiness: Readiness) -> web.Application:
    """The application to serve on the HTTP port.

    Args:
        dispatcher: where generations go.
        triton_http_address: `host:port` of Triton's HTTP endpoint.
        readiness: shared with the gRPC face.
    """
    app = web.Application(
        middlewares=[errors_as_json], client_max_size=MAX_BODY_BYTES, handler_args=SERVER_OPTIONS
    )
    passthrough = Passthrough(triton_http_address)
    face = GenerateFace(dispatcher, passthrough)
    health = _Health(readiness, passthrough)
    app.cleanup_ctx.append(passthrough.running)
    app.router.add_get("/v2/health/live", health.live)
    app.router.add_get("/v2/health/ready", health.ready)
    for model in (_MODEL, _VERSION):
        app.router.add_get(f"{model}/ready", health.model_ready)
        app.router.add_post(f"{model}/generate", face.generate)
        app.router.add_post(f"{model}/generate_stream", face.generate_stream)
    app.router.add_route("*", "/v2", passthrough.forward)
    app.router.add_route("*", "/v2/{rest:.*}", passthrough.forward)
    return app


class _Health:
    """Probes, answered with an empty 200 or an error, as Triton does."""

    def __init__(self, readiness: Readiness, passthrough: Passthrough) -> None:
        self._readiness = readiness
        self._passthrough = passthrough

    async def live(self, _: web.Request) -> web.StreamResponse:
        """The gateway's own life: were Triton's included, its restart would restart the gateway too."""
        return web.Response()

    async def ready(self, _: web.Request) -> web.StreamResponse:
        """Triton is ready and the gateway is not draining."""
        if self._readiness.is_draining:
            raise DrainingError(self._readiness.reason)
        if not self._readiness.is_ready:
            raise UpstreamUnavailableError(self._readiness.reason)
        return web.Response()

    async def model_ready(self, request: web.Request) -> web.StreamResponse:
        """Triton's answer, unless the gateway is draining."""
        if self._readiness.is_draining:
            raise DrainingError(self._readiness.reason)
        return await self._passthrough.forward(request)

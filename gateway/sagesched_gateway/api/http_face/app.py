"""The HTTP face: which path goes where.

Generation endpoints go to dispatch, health is answered here, everything else under `/v2` goes to Triton.
"""

from __future__ import annotations

from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from sagesched_gateway.api.admin_gate import AdminGate
from sagesched_gateway.api.attributes import AttributeReader
from sagesched_gateway.api.http_face.body import BODY_ROOM, BodyRoom
from sagesched_gateway.api.http_face.errors import errors_as_json
from sagesched_gateway.api.http_face.generate import GenerateFace
from sagesched_gateway.api.http_face.infer import InferFace
from sagesched_gateway.api.http_face.passthrough import Passthrough
from sagesched_gateway.api.http_face.slow_readers import slow_reader_guard
from sagesched_gateway.api.passed_calls import PassedCalls
from sagesched_gateway.dispatch.dispatcher import Dispatcher
from sagesched_gateway.dispatch.ports import Readiness
from sagesched_gateway.errors import DrainingError, TooLargeError, UpstreamUnavailableError
from sagesched_gateway.settings.limits import Limits
from sagesched_gateway.settings.sections.admin import AdminConfig
from sagesched_gateway.settings.sections.attributes import AttributesConfig
from sagesched_gateway.settings.sections.limits import LimitsConfig

_LIMITS = LimitsConfig()
_MODEL = r"/v2/models/{model}"
_VERSION = _MODEL + r"/versions/{version:\d+}"


def build_http_app(
    dispatcher: Dispatcher,
    triton_http_address: str,
    readiness: Readiness,
    *,
    limits: Limits = _LIMITS,
    reader: AttributeReader | None = None,
    gate: AdminGate | None = None,
    openai: web.Application | None = None,
    passed: PassedCalls | None = None,
) -> web.Application:
    """The application to serve on the HTTP port.

    Args:
        dispatcher: where generations go.
        triton_http_address: `host:port` of Triton's HTTP endpoint.
        readiness: shared with the gRPC face.
        limits: what callers may take.
        reader: knows whose attributes are believed; None believes nobody.
        gate: refuses management calls; None refuses all of them.
        openai: served under `/v1`.
        passed: counts what is only passed on; None counts for nobody.
    """
    reader = reader or AttributeReader(AttributesConfig())
    app = web.Application(
        middlewares=[slow_reader_guard(limits), errors_as_json, bounded_headers(limits)],
        client_max_size=limits.message_bytes,
        # A caller who leaves must end its handler, or its request would keep its place in the engine.
        handler_args={"handler_cancellation": True, **connection_options(limits)},
    )
    app[BODY_ROOM] = BodyRoom(limits)
    passthrough = Passthrough(
        triton_http_address,
        gate or AdminGate(AdminConfig()),
        most_bytes=limits.message_bytes,
        passed=passed or PassedCalls(),
    )
    face = GenerateFace(dispatcher, passthrough, limits=limits, reader=reader)
    infer = InferFace(dispatcher, passthrough, limits=limits, reader=reader)
    health = _Health(readiness, passthrough)
    app.cleanup_ctx.append(passthrough.running)
    app.router.add_get("/v2/health/live", health.live)
    app.router.add_get("/v2/health/ready", health.ready)
    for model in (_MODEL, _VERSION):
        app.router.add_get(f"{model}/ready", health.model_ready)
        app.router.add_post(f"{model}/infer", infer.infer)
        app.router.add_post(f"{model}/generate", face.generate)
        app.router.add_post(f"{model}/generate_stream", face.generate_stream)
    app.router.add_route("*", "/v2", passthrough.forward)
    app.router.add_route("*", "/v2/{rest:.*}", passthrough.forward)
    if openai is not None:
        app.router.add_get("/health", health.ready)
        app.add_subapp("/v1", openai)
    return app


def connection_options(limits: Limits) -> dict[str, Any]:
    """What aiohttp is told about each connection."""
    return {
        "auto_decompress": False,  # compressed bodies are passed on as they are
        "access_log": None,
        "max_line_size": limits.header_bytes,
        "max_field_size": limits.header_bytes,
    }


def bounded_headers(limits: Limits) -> Middleware:
    """A middleware that refuses requests whose headers are too large together."""

    @web.middleware
    async def check_headers(request: web.Request, handler: Handler) -> web.StreamResponse:
        if sum(len(name) + len(value) for name, value in request.raw_headers) > limits.header_bytes:
            raise TooLargeError(
                f"the headers are larger than {limits.header_bytes} bytes, the gateway's limit"
            )
        return await handler(request)

    return check_headers


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

"""gRPC health: Check as Triton has it, Watch with every change, and reflection of both services."""

from __future__ import annotations

import asyncio

import grpc
import grpc.aio
import pytest
from dispatch_fakes import until
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


def watch(face, service=""):
    return health_pb2_grpc.HealthStub(face.channel).Watch(health_pb2.HealthCheckRequest(service=service))


async def test_check_is_tritons_and_ours(face):
    check = health_pb2_grpc.HealthStub(face.channel).Check
    assert (await check(health_pb2.HealthCheckRequest())).status == SERVING
    face.readiness.is_ready = False
    assert (await check(health_pb2.HealthCheckRequest())).status == NOT_SERVING


async def test_watch_tells_the_state_at_once_and_each_change(face):
    calls = [watch(face), watch(face, "any.service")]
    for ready in (True, False, True):
        face.readiness.is_ready = ready
        for call in calls:
            assert (await call.read()).status == (SERVING if ready else NOT_SERVING)


async def test_a_drain_is_told_without_waiting_for_the_next_look(face):
    face.sweeper.discard(face.health)
    call = watch(face)
    assert (await call.read()).status == SERVING
    face.readiness.is_ready = False
    face.health.look()
    assert (await call.read()).status == NOT_SERVING


async def test_watching_ends_with_the_server(face):
    call = watch(face)
    assert await call.read()
    face.readiness.is_ready = False
    face.health.close()
    assert (await call.read()).status == NOT_SERVING
    assert await call.read() is grpc.aio.EOF
    assert await call.code() is grpc.StatusCode.OK


async def test_a_watcher_that_leaves_is_forgotten(face):
    call = watch(face)
    assert await call.read()
    call.cancel()
    await until(lambda: not face.health._watchers)


@pytest.mark.parametrize("version", ["v1", "v1alpha"])
async def test_reflection_knows_both_services(face, version):
    method = face.channel.stream_stream(
        f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
        request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
        response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
    )
    call = method()
    await call.write(reflection_pb2.ServerReflectionRequest(list_services=""))
    services = {service.name for service in (await call.read()).list_services_response.service}
    assert {"inference.GRPCInferenceService", "grpc.health.v1.Health"} <= services
    for service in services:
        await call.write(reflection_pb2.ServerReflectionRequest(file_containing_symbol=service))
        assert (await call.read()).file_descriptor_response.file_descriptor_proto
    await call.write(reflection_pb2.ServerReflectionRequest(file_containing_symbol="no.such.Service"))
    assert (await call.read()).error_response.error_code == grpc.StatusCode.NOT_FOUND.value[0]
    await call.done_writing()
    async with asyncio.timeout(5):
        assert await call.read() is grpc.aio.EOF

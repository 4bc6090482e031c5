from __future__ import annotations


async def test_live_asks_nobody(client, readiness, triton):
    readiness.is_ready = False
    async with client.get("/v2/health/live") as answer:
        assert (answer.status, await answer.read()) == (200, b"")
    assert triton.requests == []


async def test_ready(client, triton):
    async with client.get("/v2/health/ready") as answer:
        assert (answer.status, await answer.read()) == (200, b"")
    assert triton.requests == []


async def test_not_ready_says_why(client, readiness):
    readiness.is_ready, readiness.reason = False, "Triton does not answer"
    async with client.get("/v2/health/ready") as answer:
        assert answer.status == 503
        assert answer.headers["x-sagesched-error"] == "upstream-unavailable"
        assert await answer.json() == {"error": "Triton does not answer"}


async def test_draining_is_not_ready(client, readiness, triton):
    readiness.is_ready, readiness.is_draining, readiness.reason = False, True, "draining"
    for path in ("/v2/health/ready", "/v2/models/m/ready", "/v2/models/m/versions/1/ready"):
        async with client.get(path) as answer:
            assert answer.status == 503
            assert answer.headers["x-sagesched-error"] == "draining"
    assert triton.requests == []


async def test_a_models_readiness_is_tritons(client, triton):
    triton.status = 400
    async with client.get("/v2/models/m/ready") as answer:
        assert (answer.status, await answer.read()) == (400, b"from Triton")

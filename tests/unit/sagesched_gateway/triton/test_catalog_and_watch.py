"""What Triton serves, cached; and Triton watched for coming, going and changing."""

from __future__ import annotations

import asyncio

import fake_triton
import pytest
from fake_triton import FakeTriton

from sagesched_gateway.errors import UpstreamUnavailableError
from sagesched_gateway.triton.client import TritonClient
from sagesched_gateway.triton.metadata import ModelCatalog
from sagesched_gateway.triton.watch import TritonWatch


async def test_the_engine_is_found_by_its_tensors(catalog):
    assert catalog.engine.name == "tensorrt_llm"
    assert catalog.profile("ensemble").cancelling.stop_model == "tensorrt_llm"
    assert catalog.profile("tensorrt_llm").cancelling.stop_model == "tensorrt_llm"


async def test_metadata_is_asked_for_once(client, triton):
    catalog = ModelCatalog(client)
    first = await catalog.metadata("ensemble")
    await triton.stop()
    assert await catalog.metadata("ensemble") is first


async def test_what_is_known_does_not_wait_for_questions_about_others(client, monkeypatch):
    catalog = ModelCatalog(client)
    first = await catalog.metadata("ensemble")

    async def never(name):
        await asyncio.Event().wait()

    monkeypatch.setattr(catalog, "_described", never)
    others = asyncio.create_task(catalog.resolve("nobody"))
    await asyncio.sleep(0)
    async with asyncio.timeout(5):
        assert await catalog.metadata("ensemble") is first
    others.cancel()


async def test_a_model_that_was_not_there_at_first_is_found_later(client):
    catalog = ModelCatalog(client)
    assert catalog.profile("ensemble") is None
    assert await catalog.resolve("ensemble") is not None
    assert catalog.profile("ensemble") is not None


async def test_without_triton_an_unknown_model_cannot_be_judged():
    client = TritonClient("127.0.0.1:9")
    with pytest.raises(UpstreamUnavailableError):
        await ModelCatalog(client).resolve("ensemble")
    await client.close()


@pytest.fixture
def watched(client):
    catalog = ModelCatalog(client)
    changes = []

    async def on_change():
        changes.append(sorted(catalog._descriptions))

    return TritonWatch(client, catalog, on_change), catalog, changes


async def test_a_ready_triton_is_read_once(watched):
    watch, catalog, changes = watched
    assert watch.problem
    await watch.look()
    await watch.look()
    assert watch.problem == ""
    assert len(changes) == 1
    assert catalog.profile("ensemble") is not None


async def test_a_triton_that_is_not_ready_is_not_read(watched, triton):
    watch, _, changes = watched
    triton.ready = False
    await watch.look()
    assert "not ready" in watch.problem
    assert not changes
    triton.ready = True
    await watch.look()
    assert watch.problem == ""


async def test_loaded_and_unloaded_models_are_noticed(watched, monkeypatch):
    watch, _, changes = watched
    await watch.look()
    monkeypatch.delitem(fake_triton.MODELS, "adder")
    await watch.look()
    assert "adder" in changes[0]
    assert "adder" not in changes[1]


async def test_a_triton_that_comes_back_is_read_again(watched, triton):
    watch, catalog, changes = watched
    await watch.look()
    address = triton.address
    await triton.stop()
    await watch.look()
    assert address in watch.problem
    assert catalog.profile("ensemble") is not None  # what waits can still be read
    again = await FakeTriton().start(address)
    async with asyncio.timeout(20):
        while watch.problem:  # the channel waits a moment before it connects again
            await asyncio.sleep(0.01)
            await watch.look()
    await again.stop()
    assert watch.problem == ""
    assert len(changes) == 2

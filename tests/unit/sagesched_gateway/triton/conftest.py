"""A Triton in this process, and the gateway's room that speaks to it."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from fake_triton import FakeTriton

from sagesched_gateway.triton.client import TritonClient
from sagesched_gateway.triton.metadata import ModelCatalog
from sagesched_gateway.triton.upstream import TritonUpstream


@pytest.fixture
async def triton() -> AsyncIterator[FakeTriton]:
    fake = await FakeTriton().start()
    yield fake
    await fake.stop()


@pytest.fixture
async def client(triton: FakeTriton) -> AsyncIterator[TritonClient]:
    client = TritonClient(triton.address)
    yield client
    await client.close()


@pytest.fixture
async def catalog(client: TritonClient) -> ModelCatalog:
    catalog = ModelCatalog(client)
    await catalog.load()
    return catalog


@pytest.fixture
def upstream(client: TritonClient, catalog: ModelCatalog) -> TritonUpstream:
    return TritonUpstream(client, catalog)

"""What was acknowledged is learned, also where the process ended before the persona heard of it."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import httpx

from app.models import Choice
from app.storage.open import open_store
from tests.api.conftest import running, settings_in

TOLD = Choice("c1", "default", "ada", "Tea?", ("green tea", "black tea"), "green tea", datetime.now(UTC))


async def facets(client: httpx.AsyncClient) -> list[dict[str, object]]:
    held: list[dict[str, object]] = (await client.get("/v1/personas/ada")).json()["facets"]
    return held


async def test_a_record_without_its_facet_is_learned_at_the_next_start(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    async with running(settings) as client:
        assert await facets(client) == []
    store = open_store(settings.database_url)
    await store.add_choice(TOLD)  # as a process leaves it that is killed right after the commit
    await store.aclose()
    for _ in range(2):
        async with running(settings) as client:
            for _ in range(100):
                if found := await facets(client):
                    break
                await asyncio.sleep(0.05)
            assert [(facet["value"], facet["evidence"]) for facet in found] == [("green tea", ["c1"])]

"""A live adapter and a server that restarts: it is back before it is routed to, and no request fails."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx

from app.storage.migrate import migrate
from app.storage.open import open_store
from tests.api.conftest import running
from tests.api.test_backends import hypothesize, wired
from tests.fake_vllm import BASE, FakeVLLM
from tests.nouns import an_adapter
from tests.servers import serving

NAME = "hypotheses-000000000001"


async def register_live(settings: Any) -> None:
    await migrate(settings.database_url)
    store = open_store(settings.database_url)
    await store.add_adapter(an_adapter(NAME, state="live", base_model=BASE))
    await store.aclose()


async def verified(client: httpx.AsyncClient, fake: FakeVLLM) -> None:
    await asyncio.wait_for(fake.took.wait(), 10)
    while (await standings(client)) != [{"name": NAME, "phase": "verified", "error": ""}]:
        continue


async def standings(client: httpx.AsyncClient) -> list[dict[str, str]]:
    status = await client.get("/v1/status")
    assert status.status_code == 200, status.text
    (replica,) = status.json()["replicas"]
    found: list[dict[str, str]] = replica["reconciled"]
    return found


async def test_a_live_adapter_comes_back_after_a_restart(tmp_path: Path) -> None:
    fake = FakeVLLM()
    async with serving(fake) as url:
        settings = wired(tmp_path, url, "vllm")
        await register_live(settings)
        async with running(settings) as client:
            await verified(client, fake)
            assert (await hypothesize(client))["backend"]["adapter"] == NAME
            fake.took.clear()
            fake.adapters.clear()
            while not (lost := await hypothesize(client))["backend"]["degraded"]:
                assert lost["backend"]["adapter"] == NAME
            assert lost["backend"]["adapter"] is None
            await verified(client, fake)
            assert (await hypothesize(client))["backend"]["adapter"] == NAME
    asked = {body["model"] for body in fake.asked("/chat/completions")}
    assert asked <= {NAME, BASE}


async def test_another_tenants_adapter_cannot_be_named(tmp_path: Path) -> None:
    fake = FakeVLLM(adapters={"hypotheses-000000000002": "/theirs"})
    async with serving(fake) as url:
        settings = wired(tmp_path, url, "vllm", lora_allowed=("*",))
        await migrate(settings.database_url)
        store = open_store(settings.database_url)
        await store.add_adapter(
            an_adapter("hypotheses-000000000002", tenant="other", state="live", base_model=BASE)
        )
        await store.aclose()
        async with running(settings) as client:
            ask = {"user_id": "ada", "input_text": "build api", "lora_name": "hypotheses-000000000002"}
            assert (await client.post("/v1/hypothesize", json=ask)).status_code == 404

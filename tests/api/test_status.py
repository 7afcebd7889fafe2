"""Status: each dependency and each replica, also where some are away."""

from __future__ import annotations

from pathlib import Path

import httpx

from app.api.ops import Status
from tests.api.conftest import running, settings_in
from tests.fake_vllm import BASE, FakeVLLM
from tests.servers import serving

NOBODY = "http://127.0.0.1:9"


async def status(client: httpx.AsyncClient) -> Status:
    answer = await client.get("/v1/status")
    assert answer.status_code == 200, answer.text
    return Status.model_validate_json(answer.content)


async def test_what_local_stands_on(client: httpx.AsyncClient) -> None:
    found = await status(client)
    assert found.database.ok and found.embedder.ok and found.backend.ok
    assert found.playbook.entries > 1000 and found.playbook.embedded
    assert found.replicas == []
    assert found.training_data["enabled"] is False


async def test_every_replica_by_itself(tmp_path: Path) -> None:
    async with serving(FakeVLLM(adapters={"mine": "/adapters/mine"})) as url:
        settings = settings_in(
            tmp_path,
            slm_impl="vllm",
            vllm_base_url=f"{url}/v1",
            vllm_model_name=BASE,
            vllm_replica_urls=(f"{url}/v1", f"{NOBODY}/v1"),
        )
        async with running(settings) as client:
            up, down = (await status(client)).replicas
    assert (up.url, up.ok, up.adapters) == (url, True, ["mine"])
    assert up.version
    assert (down.url, down.ok, down.adapters) == (NOBODY, False, [])
    assert "cannot be reached" in down.detail


async def test_a_dead_embedding_server_is_told(tmp_path: Path) -> None:
    settings = settings_in(
        tmp_path, embedding_impl="http", embedding_http_url=f"{NOBODY}/v1", embedding_http_model="m"
    )
    async with running(settings) as client:
        found = await status(client)
    assert not found.embedder.ok and found.embedder.detail
    assert not found.playbook.embedded
    assert found.database.ok

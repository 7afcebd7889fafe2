"""The whole service in front of a real vLLM: what its callers see of adapters, re-ranking and outages."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.api.schemas import HypothesizeOut
from tests.api.conftest import running, settings_in
from tests.real.vllm_server import VLLMServer

pytestmark = pytest.mark.vllm

TIMEOUT = 60.0
ASK = {"user_id": "ada", "input_text": "Plan a trip to Tokyo."}


@pytest.fixture
async def service(vllm_server: VLLMServer, tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    settings = settings_in(
        tmp_path,
        slm_impl="vllm",
        vllm_base_url=vllm_server.base_url,
        vllm_model_name=vllm_server.model,
        vllm_timeout=TIMEOUT,
        request_timeout=TIMEOUT,
        rerank_timeout=30.0,
        hypotheses_max_tokens=400,
        hypotheses_temperature=0.0,
        lora_allowed=("*",),
    )
    async with running(settings) as client:
        client.timeout = httpx.Timeout(2 * TIMEOUT)
        yield client


async def hypothesize(client: httpx.AsyncClient, **more: Any) -> dict[str, Any]:
    answer = await client.post("/v1/hypothesize", json=ASK | more)
    assert answer.status_code == 200, answer.text
    HypothesizeOut.model_validate_json(answer.content)
    body: dict[str, Any] = answer.json()
    return body


async def test_lora_name_selects_the_adapter(service: httpx.AsyncClient, vllm_server: VLLMServer) -> None:
    for number, name in enumerate(vllm_server.adapters):
        answer = await hypothesize(service, user_id=f"user{number}", lora_name=name)
        if not answer["backend"]["degraded"]:
            assert answer["backend"]["adapter"] == name
        assert len(answer["hypotheses"]) == 3


async def test_an_unknown_adapter_is_a_404_problem(service: httpx.AsyncClient) -> None:
    answer = await service.post("/v1/hypothesize", json=ASK | {"lora_name": "nobody"})
    assert answer.status_code == 404
    assert answer.json()["type"] == "/problems/unknown-adapter"


async def test_a_search_is_reranked_by_the_model(service: httpx.AsyncClient) -> None:
    items = [{"text": "The cat is called Miso."}, {"text": "Deployments go out on Fridays."}]
    await service.post("/v1/memories", json={"user_id": "ada", "items": items})
    body = {"user_id": "ada", "query": "What is the cat called?", "rerank": True}
    found = (await service.post("/v1/memories/search", json=body)).json()
    assert found["producer"] == "rerank", found
    assert found["results"][0]["text"] == "The cat is called Miso."
    assert all(0 <= result["scores"]["rerank"] <= 1 for result in found["results"])


async def test_a_server_killed_under_the_service_degrades_it_and_comes_back(
    service: httpx.AsyncClient, vllm_server: VLLMServer
) -> None:
    vllm_server.kill()
    assert (await hypothesize(service))["backend"]["degraded"]
    began = time.perf_counter()
    after = await hypothesize(service, user_id="bob")
    assert after["backend"]["degraded"] and len(after["hypotheses"]) == 3
    assert time.perf_counter() - began < TIMEOUT / 10
    assert (await service.get("/v1/status")).json()["backend"]["ok"] is False

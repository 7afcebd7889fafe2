"""Callers that do several things at the same moment."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx

from tests.api.conftest import running, settings_in
from tests.fake_vllm import BASE, FakeVLLM
from tests.servers import serving

ASK = {"user_id": "ada", "input_text": "build api"}


async def test_one_selection_sent_eight_times_at_once_is_one_selection(client: httpx.AsyncClient) -> None:
    shown = (await client.post("/v1/hypothesize", json=ASK)).json()
    first = shown["hypotheses"][0]
    pick = {
        "request_id": shown["request_id"],
        "hypothesis_id": first["id"],
        "option": first["options"][0],
    }
    answers = await asyncio.gather(*(client.post("/v1/selections", json=pick) for _ in range(8)))
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.content for answer in answers}) == 1
    held = (await client.get("/v1/users/ada/export")).json()["tables"]
    assert len(held["selections"]) == 1
    assert len(held["interactions"]) <= 2


async def test_requests_of_one_thread_at_once_never_ask_the_same(client: httpx.AsyncClient) -> None:
    asked = ASK | {"session_id": "s1"}
    answers = [
        answer.json()
        for answer in await asyncio.gather(*(client.post("/v1/hypothesize", json=asked) for _ in range(6)))
    ]
    assert sorted(answer["round"] for answer in answers) == [1, 2, 3, 4, 5, 6]
    questions = [h["question"] for answer in answers for h in answer["hypotheses"]]
    assert len(questions) == len(set(questions)) > 0


async def test_nothing_is_learned_after_an_erasure_of_what_was_said_before(client: httpx.AsyncClient) -> None:
    choice = {
        "user_id": "ada",
        "input_text": "Tea?",
        "options": ["green tea", "black tea"],
        "selected": "green tea",
    }
    told = [client.post("/v1/choices", json=choice) for _ in range(10)]
    await asyncio.gather(*told, client.delete("/v1/users/ada"), client.post("/v1/hypothesize", json=ASK))
    held = (await client.get("/v1/users/ada/export")).json()["tables"]
    known = {row["id"] for row in held["choices"]}
    evidence = {record for facet in held["facets"] for record in facet["evidence"]}
    assert evidence <= known


async def test_a_hung_backend_costs_one_timeout_whatever_the_stages(tmp_path: Path) -> None:
    fake = FakeVLLM()
    fake.fail("hang", path="/", seconds=60)
    long = {"notes": "We talked about many things. " * 400}
    async with serving(fake) as url:
        settings = settings_in(
            tmp_path,
            slm_impl="vllm",
            vllm_base_url=f"{url}/v1",
            vllm_model_name=BASE,
            vllm_timeout=1.0,
            enrich_context=True,
        )
        async with running(settings) as client:
            answer = (await client.post("/v1/hypothesize", json=ASK | {"context": long})).json()
    assert answer["backend"]["degraded"]
    assert len(answer["hypotheses"]) == 3
    assert len(fake.requests) <= 3  # the warm-up and the first stage; there is no time left for more

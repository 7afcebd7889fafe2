"""The embedding server goes away: words go on, nothing is stored without its vector, nothing waits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx

from app.config import Settings
from tests.api.conftest import running, settings_in
from tests.fake_embeddings import FakeEmbeddings
from tests.servers import serving

NOTE = {"user_id": "ada", "items": [{"text": "I write Python at work", "external_id": "m1"}]}
NOBODY = "http://127.0.0.1:9/v1"


def embedded_by(url: str, folder: Path) -> Settings:
    return settings_in(folder, embedding_impl="http", embedding_http_url=url, embedding_http_model="words")


async def the_service_answers(client: httpx.AsyncClient) -> dict[str, Any]:
    asked = await client.post("/v1/hypothesize", json={"user_id": "ada", "input_text": "Plan a trip for me."})
    assert asked.status_code == 200, asked.text
    shown: dict[str, Any] = asked.json()
    assert len(shown["hypotheses"]) == 3
    more = await client.post("/v1/followups", json={"user_id": "ada", "context": {"request": "plan a trip"}})
    assert more.status_code == 200, more.text
    found = await client.post("/v1/memories/search", json={"user_id": "ada", "query": "Python"})
    assert found.status_code == 200, found.text
    ranked = await client.post("/v1/rank", json={"user_id": "ada", "query": "tea?", "candidates": ["a", "b"]})
    assert ranked.status_code == 200, ranked.text
    return shown


async def test_the_service_starts_and_answers_without_its_embedding_server(tmp_path: Path) -> None:
    async with running(embedded_by(NOBODY, tmp_path)) as client:
        shown = await the_service_answers(client)
        hypothesis = next(one for one in shown["hypotheses"] if one["options"])
        pick = {
            "request_id": shown["request_id"],
            "hypothesis_id": hypothesis["id"],
            "option": hypothesis["options"][0],
        }
        assert (await client.post("/v1/selections", json=pick)).status_code == 200
        await the_service_answers(client)


async def test_an_outage_degrades_to_words_and_ends_with_it(tmp_path: Path) -> None:
    fake = FakeEmbeddings()
    async with serving(fake) as url, running(embedded_by(f"{url}/v1", tmp_path)) as client:
        assert (await client.post("/v1/memories", json=NOTE)).status_code == 200
        fake.away = True
        await the_service_answers(client)
        asked = fake.requests
        await the_service_answers(client)
        assert fake.requests == asked, "while it rests nobody asks it"


async def test_what_cannot_be_embedded_is_not_stored(tmp_path: Path) -> None:
    async with running(embedded_by(NOBODY, tmp_path)) as client:
        refused = await client.post("/v1/memories", json=NOTE)
        assert refused.status_code == 503
        assert refused.json()["type"] == "/problems/backend-unavailable"
        again = await client.post("/v1/memories", json=NOTE)
        assert int(again.headers["retry-after"]) > 0
        kept = await client.get("/v1/memories", params={"user_id": "ada"})
        assert kept.json()["items"] == []

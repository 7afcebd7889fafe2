"""Judgements: of what was shown and nothing else; a full rating reaches the facet that was learned."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.api.test_story import ask, pick


async def judge(client: httpx.AsyncClient, status: int = 200, **fields: Any) -> dict[str, Any]:
    answer = await client.post("/v1/feedback", json={"user_id": "ada", "rating": 0} | fields)
    assert answer.status_code == status, answer.text
    said: dict[str, Any] = answer.json()
    return said


async def facet(client: httpx.AsyncClient) -> dict[str, Any]:
    (held,) = (await client.get("/v1/personas/ada")).json()["facets"]
    found: dict[str, Any] = held
    return found


@pytest.mark.parametrize("kind", ["hypothesize", "search", "rank"])
async def test_marks_name_what_the_request_showed(client: httpx.AsyncClient, kind: str) -> None:
    note = {"user_id": "ada", "items": [{"text": "I write Python at work"}]}
    await client.post("/v1/memories", json=note)
    query = {"user_id": "ada", "query": "Which language do I use?"}
    if kind == "hypothesize":
        shown = await ask(client)
        ids = [hypothesis["id"] for hypothesis in shown["hypotheses"]]
    elif kind == "search":
        shown = (await client.post("/v1/memories/search", json=query)).json()
        ids = [result["id"] for result in shown["results"]]
    else:
        shown = (await client.post("/v1/rank", json=query | {"candidates": ["Python", "Go"]})).json()
        ids = ["0", "1"]
    request = shown["request_id"]
    assert (await judge(client, request_id=request, useful=ids[:1], not_useful=ids[1:]))["id"]
    problem = await judge(client, 422, request_id=request, useful=["never-shown"])
    assert "never-shown" in problem["detail"]
    await judge(client, 422, request_id=request, useful=ids[:1], not_useful=ids[:1])


async def test_marks_need_a_request(client: httpx.AsyncClient) -> None:
    problem = await judge(client, 422, useful=["0"])
    assert "request_id" in problem["detail"]


@pytest.mark.parametrize("rating", [1, -1])
async def test_a_full_rating_moves_the_facet_that_the_selection_taught_once(
    client: httpx.AsyncClient, rating: int
) -> None:
    shown = await ask(client)
    await pick(client, shown)
    before = await facet(client)
    said = await judge(client, request_id=shown["request_id"], rating=rating)
    assert said["learned"] == [{"kind": "feedback", "name": before["name"], "value": before["value"]}]
    after = await facet(client)
    assert (after["confidence"] - before["confidence"]) * rating > 0
    assert (after["evidence"] if rating > 0 else after["counter_evidence"])[-1] == said["id"]
    await judge(client, request_id=shown["request_id"], rating=rating)
    assert await facet(client) == after


async def test_a_changed_mind_is_heard(client: httpx.AsyncClient) -> None:
    shown = await ask(client)
    await pick(client, shown)
    await judge(client, request_id=shown["request_id"], rating=1)
    surer = await facet(client)
    await judge(client, request_id=shown["request_id"], rating=-1)
    assert (await facet(client))["confidence"] < surer["confidence"]


async def test_a_faint_rating_and_one_without_a_selection_teach_no_facet(client: httpx.AsyncClient) -> None:
    shown = await ask(client)
    assert (await judge(client, request_id=shown["request_id"], rating=1))["learned"] == []
    assert (await client.get("/v1/personas/ada")).json()["facets"] == []
    await pick(client, shown)
    before = await facet(client)
    assert (await judge(client, request_id=shown["request_id"], rating=-0.5))["learned"] == []
    assert await facet(client) == before

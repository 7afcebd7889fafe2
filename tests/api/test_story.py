"""The main job as a caller lives it: ask, pick, ask again; remember, search, rank; leave."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest

from app.api.schemas import HypothesizeOut
from app.api.selections import SelectionOut
from tests.api.conftest import running, settings_in


async def ask(client: httpx.AsyncClient, text: str = "build api", **more: Any) -> dict[str, Any]:
    answer = await client.post("/v1/hypothesize", json={"user_id": "ada", "input_text": text} | more)
    assert answer.status_code == 200, answer.text
    HypothesizeOut.model_validate_json(answer.content)
    body: dict[str, Any] = answer.json()
    return body


async def pick(client: httpx.AsyncClient, shown: dict[str, Any], place: int = 0) -> dict[str, Any]:
    hypothesis = shown["hypotheses"][place]
    body = {
        "request_id": shown["request_id"],
        "hypothesis_id": hypothesis["id"],
        "option": hypothesis["options"][0],
    }
    answer = await client.post("/v1/selections", json=body)
    assert answer.status_code == 200, answer.text
    SelectionOut.model_validate_json(answer.content)
    outcome: dict[str, Any] = answer.json()
    return outcome


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5])
async def test_distinct_questions_as_many_as_asked_for(client: httpx.AsyncClient, count: int) -> None:
    shown = await ask(client, "Plan a trip for me.", count=count)
    questions = [hypothesis["question"] for hypothesis in shown["hypotheses"]]
    assert len(set(questions)) == len(questions) == count
    assert all(question.endswith("?") for question in questions)
    assert shown["needs_clarification"]


async def test_a_clear_request_is_told_from_a_vague_one(client: httpx.AsyncClient) -> None:
    vague = await ask(client, "Find me a recipe.")
    clear = await ask(client, "Convert 250 US dollars to euros at today's rate.")
    assert vague["clarity"] < clear["clarity"]


async def test_what_is_in_the_request_is_not_asked(client: httpx.AsyncClient) -> None:
    open_ = await ask(client, "Plan a trip to Tokyo.")
    closed = await ask(
        client,
        "Plan a trip to Tokyo.",
        conversation=[{"role": "user", "content": "My budget is 2000 euros."}],
    )
    assert any("budget" in h["question"].lower() for h in open_["hypotheses"])
    assert not any("budget" in h["question"].lower() for h in closed["hypotheses"])


async def test_a_selection_is_learned_and_answered_alike_twice(client: httpx.AsyncClient) -> None:
    shown = await ask(client)
    first = await pick(client, shown)
    assert await pick(client, shown) == first
    hypothesis = shown["hypotheses"][0]
    assert first["learned"] == [
        {"kind": "pick", "name": hypothesis["detail"], "value": hypothesis["options"][0]}
    ]
    assert hypothesis["options"][0] in first["resolved_request"]
    facets = (await client.get("/v1/personas/ada")).json()["facets"]
    assert [facet["value"] for facet in facets] == [hypothesis["options"][0]]
    assert facets[0]["evidence"] == [shown["request_id"]]


async def test_a_different_selection_is_a_conflict(client: httpx.AsyncClient) -> None:
    shown = await ask(client)
    await pick(client, shown, 0)
    other = {"request_id": shown["request_id"], "hypothesis_id": None, "free_text": "something else"}
    answer = await client.post("/v1/selections", json=other)
    assert answer.status_code == 409


async def test_an_answer_holds_in_the_next_thread(client: httpx.AsyncClient) -> None:
    shown = await ask(client)
    await pick(client, shown)
    again = await ask(client)
    assert shown["hypotheses"][0]["question"] not in [h["question"] for h in again["hypotheses"]]
    assert len(again["hypotheses"]) == 3


async def test_nothing_is_asked_twice_in_a_thread_and_two_rounds_end_it(client: httpx.AsyncClient) -> None:
    first = await ask(client, session_id="s1")
    second = await ask(client, session_id="s1")
    third = await ask(client, session_id="s1")
    asked = [h["question"] for answer in (first, second) for h in answer["hypotheses"]]
    assert len(asked) == len(set(asked))
    assert (first["round"], second["round"], third["round"]) == (1, 2, 3)
    assert third["hypotheses"] == []
    assert not third["needs_clarification"]


async def test_memories_are_found_replaced_and_deleted(client: httpx.AsyncClient) -> None:
    items = [
        {"text": "I write Go at work", "external_id": "m1"},
        {"text": "My cat is called Miso", "external_id": "m2"},
    ]
    stored = (await client.post("/v1/memories", json={"user_id": "ada", "items": items})).json()["items"]
    query = {"user_id": "ada", "query": "what is my cat's name?"}
    found = (await client.post("/v1/memories/search", json=query)).json()
    assert found["results"][0]["external_id"] == "m2"
    assert set(found["results"][0]["scores"]) == {"cosine", "bm25", "recency", "importance", "rerank"}

    newer = [{"text": "My cat is called Tofu", "external_id": "m2"}]
    again = (await client.post("/v1/memories", json={"user_id": "ada", "items": newer})).json()["items"]
    assert again[0]["id"] == stored[1]["id"]
    texts = [r["text"] for r in (await client.post("/v1/memories/search", json=query)).json()["results"]]
    assert "My cat is called Tofu" in texts
    assert "My cat is called Miso" not in texts

    assert (await client.delete(f"/v1/memories/{stored[0]['id']}")).status_code == 204
    assert (await client.delete(f"/v1/memories/{stored[0]['id']}")).status_code == 404
    left = (await client.get("/v1/memories", params={"user_id": "ada"})).json()["items"]
    assert [memory["external_id"] for memory in left] == ["m2"]


async def test_memories_reach_the_answer(client: httpx.AsyncClient) -> None:
    await client.post(
        "/v1/memories", json={"user_id": "ada", "items": [{"text": "Our API is written in Go"}]}
    )
    assert [m["text"] for m in (await ask(client))["context"]["memories"]] == ["Our API is written in Go"]


async def test_opposite_choices_give_opposite_orders(client: httpx.AsyncClient) -> None:
    options = ["A quiet cabin in the forest", "A loud club in the city"]
    for user, selected in zip(("ada", "bob"), options, strict=True):
        body = {"user_id": user, "input_text": "Where to?", "options": options, "selected": selected}
        assert (await client.post("/v1/choices", json=body)).status_code == 200
    candidates = ["Walk in the quiet forest", "Dance in a loud city club"]
    orders = []
    for user in ("ada", "bob"):
        body = {"user_id": user, "query": "What to do on Saturday?", "candidates": candidates}
        orders.append([r["index"] for r in (await client.post("/v1/rank", json=body)).json()["ranking"]])
    assert orders == [[0, 1], [1, 0]]


async def test_late_feedback_joins_a_search(client: httpx.AsyncClient) -> None:
    await client.post("/v1/memories", json={"user_id": "ada", "items": [{"text": "I like tea"}]})
    found = (await client.post("/v1/memories/search", json={"user_id": "ada", "query": "drinks"})).json()
    body = {
        "user_id": "ada",
        "request_id": found["request_id"],
        "rating": 1,
        "useful": [found["results"][0]["id"]],
    }
    assert (await client.post("/v1/feedback", json=body)).status_code == 200
    stranger = await client.post("/v1/feedback", json=body | {"user_id": "bob"})
    assert stranger.status_code == 404


async def test_language_calls_answer_and_name_their_producer(client: httpx.AsyncClient) -> None:
    enriched = (await client.post("/v1/enrich", json={"user_id": "ada", "input_text": "build api"})).json()
    assert enriched["producer"] == "local"
    assert {"implicit_goals", "expertise_level", "next_steps"} <= set(enriched)
    asked = await client.post("/v1/followups", json={"user_id": "ada", "context": {"request": "Plan a trip"}})
    assert all(question.endswith("?") for question in asked.json()["questions"])
    long = " ".join(f"Sentence number {number} tells of the harbour." for number in range(200))
    short = (await client.post("/v1/summarize", json={"text": long, "max_tokens": 32})).json()["summary"]
    assert 0 < len(short.split()) <= 32


async def test_export_and_erasure(client: httpx.AsyncClient) -> None:
    await pick(client, await ask(client))
    await client.post("/v1/memories", json={"user_id": "ada", "items": [{"text": "I like tea"}]})
    held = (await client.get("/v1/users/ada/export")).json()["tables"]
    assert held["memories"] and held["facets"] and held["interactions"] and held["selections"]
    receipt = (await client.delete("/v1/users/ada")).json()
    assert receipt["rows"]["memories"] == 1
    assert not any((await client.get("/v1/users/ada/export")).json()["tables"].values())
    assert (await client.delete("/v1/users/ada")).json()["rows"] == {}
    assert (await client.delete("/v1/users/nobody")).status_code == 200


async def test_a_user_states_and_ends_a_facet(client: httpx.AsyncClient) -> None:
    stated = {"facets": [{"name": "programming language", "value": "Rust"}]}
    facets = (await client.patch("/v1/personas/ada", json=stated)).json()["facets"]
    assert [(f["name"], f["value"], f["confidence"], f["producer"]) for f in facets] == [
        ("programming language", "Rust", 1.0, "user")
    ]
    ended = {"facets": [{"name": "programming language", "value": None}]}
    after = (await client.patch("/v1/personas/ada", json=ended)).json()
    assert after["facets"] == []
    assert [f["value"] for f in after["history"]] == ["Rust"]


KEYS = {name: f"key-of-{name}" for name in ("acme", "globex")}


async def test_tenants_do_not_see_each_other(tmp_path: Path) -> None:
    from hashlib import sha256

    entries = tuple(f"{tenant}:use:{sha256(key.encode()).hexdigest()}" for tenant, key in KEYS.items())
    async with running(settings_in(tmp_path, api_keys=entries)) as client:
        assert (await client.get("/v1/users/ada/export")).status_code == 401
        client.headers["authorization"] = f"Bearer {KEYS['acme']}"
        shown = await ask(client)
        client.headers["authorization"] = f"Bearer {KEYS['globex']}"
        stolen = {"request_id": shown["request_id"], "hypothesis_id": None}
        assert (await client.post("/v1/selections", json=stolen)).status_code == 404
        assert (await client.get(f"/v1/interactions/{shown['request_id']}")).status_code == 404
        feedback = {"user_id": "ada", "request_id": shown["request_id"], "rating": 1}
        assert (await client.post("/v1/feedback", json=feedback)).status_code == 404
        assert not any((await client.get("/v1/users/ada/export")).json()["tables"].values())

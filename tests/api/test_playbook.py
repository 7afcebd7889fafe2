"""It learns at once, over HTTP: what was typed is asked next, and people can read and weigh it."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.api.conftest import running, settings_in

WANTED = "How many people are you expecting?"


@pytest.fixture
async def empty(tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    """A service with no playbook."""
    async with running(settings_in(tmp_path, playbook="none")) as opened:
        yield opened


async def asked(client: httpx.AsyncClient, text: str, user: str = "new") -> dict[str, Any]:
    reply = await client.post("/v1/hypothesize", json={"user_id": user, "input_text": text})
    assert reply.status_code == 200
    answer: dict[str, Any] = reply.json()
    return answer


async def typed(client: httpx.AsyncClient, text: str, wanted: str = WANTED, user: str = "ada") -> None:
    answer = await asked(client, text, user)
    said = {"request_id": answer["request_id"], "hypothesis_id": None, "free_text": wanted}
    assert (await client.post("/v1/selections", json=said)).status_code == 200


async def typed_by_all(client: httpx.AsyncClient, text: str, wanted: str = WANTED) -> None:
    """So many users type it that its words are nobody's own."""
    for user in ("ada", "cyd", "dan"):
        await typed(client, text, wanted, user)


def details(answer: dict[str, Any]) -> list[str]:
    return [hypothesis["detail"] for hypothesis in answer["hypotheses"]]


def questions(answer: dict[str, Any]) -> list[str]:
    return [hypothesis["question"] for hypothesis in answer["hypotheses"]]


async def test_what_one_user_missed_the_next_is_asked(empty: httpx.AsyncClient) -> None:
    await typed(empty, "Help me organize a game night for Rosalind")
    assert "number of people" not in details(await asked(empty, "Organize a game night at home"))
    await typed_by_all(empty, "Help me organize a game night for Rosalind")
    answer = await asked(empty, "Organize a game night at home")
    assert "number of people" in details(answer)
    assert WANTED not in questions(answer)
    assert "osalind" not in str(answer)


async def test_the_user_who_taught_it_is_asked_in_their_words(empty: httpx.AsyncClient) -> None:
    await typed(empty, "Help me organize a game night")
    answer = await asked(empty, "Organize a game night at home", user="ada")
    assert WANTED in questions(answer)


async def test_pages_name_scope_and_state(empty: httpx.AsyncClient) -> None:
    for wanted in (WANTED, "What is your budget?", "Which games do you like?"):
        await typed_by_all(empty, "Organize an evening", wanted)
    first = (await empty.get("/v1/playbook", params={"limit": 2})).json()
    rest = (await empty.get("/v1/playbook", params={"limit": 2, "cursor": first["next_cursor"]})).json()
    assert [item["detail"] for item in first["items"] + rest["items"]] == [
        "games",
        "budget",
        "number of people",
    ]
    assert {item["scope"] for item in first["items"]} == {"tenant"}
    assert {item["text"] for item in first["items"]} == {None}
    assert (first["events"], rest["next_cursor"]) == (9, None)
    own = (await empty.get("/v1/playbook", params={"user_id": "ada"})).json()
    assert {item["text"] for item in own["items"]} == {"Organize an evening"}
    assert (await empty.get("/v1/playbook", params={"user_id": "bob"})).json()["items"] == []


async def test_an_entry_is_silenced_weighed_and_removed(empty: httpx.AsyncClient) -> None:
    await typed_by_all(empty, "Help me organize a game night")
    (item,) = (await empty.get("/v1/playbook")).json()["items"]
    path = f"/v1/playbook/{item['id']}"
    silenced = (await empty.patch(path, json={"disabled": True})).json()
    assert (silenced["disabled"], silenced["weight"]) == (True, 0.0)
    assert "number of people" not in details(await asked(empty, "Organize a game night"))
    assert (await empty.patch(path, json={"weight": 2.5})).json()["weight"] == pytest.approx(2.5 * 3**0.5)
    assert "number of people" in details(await asked(empty, "Organize a game night"))
    assert (await empty.delete(path)).status_code == 204
    assert (await empty.get("/v1/playbook")).json()["items"] == []
    assert (await empty.delete(path)).status_code == 404


@pytest.mark.parametrize(
    "body", [{}, {"weight": -1}, {"weight": 11}, {"weight": 1, "disabled": True}, {"x": 1}]
)
async def test_a_strange_edit_is_invalid(body: dict[str, Any], empty: httpx.AsyncClient) -> None:
    assert (await empty.patch("/v1/playbook/t-0", json=body)).status_code == 422


@pytest.mark.parametrize("query", [{"cursor": "x"}, {"cursor": "1.t-"}, {"limit": 0}, {"user_id": "a b"}])
async def test_a_strange_query_is_invalid(query: dict[str, Any], empty: httpx.AsyncClient) -> None:
    assert (await empty.get("/v1/playbook", params=query)).status_code == 422


async def test_erasing_a_user_takes_what_they_taught(empty: httpx.AsyncClient) -> None:
    for user in ("bob", "cyd", "dan"):
        await typed(empty, "Help me organize a game night", "Which snacks do you want?", user)
    await typed_by_all(empty, "Help me organize a game night", "Which decorations do you want?")
    receipt = (await empty.delete("/v1/users/ada")).json()
    assert receipt["rows"]["events"] == 1
    left = (await empty.get("/v1/playbook")).json()
    assert [item["detail"] for item in left["items"]] == ["snacks"], "two users alone know of decorations now"
    assert left["events"] == 5


async def test_no_word_that_one_user_typed_is_in_an_answer_to_another(empty: httpx.AsyncClient) -> None:
    request = "Find out about an illness"
    await typed(empty, request, "What are the symptoms of uncle bob?")
    await typed(empty, request, "What are the symptoms?", user="cyd")
    again = await asked(empty, request, user="ada")
    own = next(one for one in again["hypotheses"] if "bob" in one["question"])
    picked = {"request_id": again["request_id"], "hypothesis_id": own["id"]}
    assert (await empty.post("/v1/selections", json=picked)).status_code == 200
    said = str([(await asked(empty, request))["hypotheses"], (await empty.get("/v1/playbook")).json()])
    assert not [word for word in ("symptom", "uncle", "bob") if word in said.lower()]

    await typed(empty, request, "What are the symptoms?", user="dan")
    assert "symptoms" in details(await asked(empty, request))
    for user in ("cyd", "dan"):
        await typed(empty, request, "What are the symptoms of uncle bob?", user)
    assert "symptoms of uncle bob" in details(await asked(empty, request))


async def test_what_was_learned_outlives_the_process(tmp_path: Path) -> None:
    settings = settings_in(tmp_path, playbook="none")
    async with running(settings) as client:
        await typed_by_all(client, "Help me organize a game night")
        before = (await client.get("/v1/playbook")).json()
    async with running(settings) as client:
        assert (await client.get("/v1/playbook")).json() == before

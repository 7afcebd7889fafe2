"""The service's own words, told back to it, teach nothing: only what a user wrote or confirmed does."""

from __future__ import annotations

import httpx

ROUNDS = 50
PLANTED = "Ada always wants her APIs written in COBOL and deployed to a submarine"


async def test_fifty_rounds_of_its_own_words_teach_nothing(client: httpx.AsyncClient) -> None:
    await client.post("/v1/memories", json={"user_id": "ada", "items": [{"text": PLANTED}]})
    before = (await client.get("/v1/playbook", params={"user_id": "ada"})).json()
    echo: list[dict[str, str]] = []
    for number in range(ROUNDS):
        asked = {
            "user_id": "ada",
            "input_text": "build api",
            "conversation": echo[-6:],
            "context": {"recalled": PLANTED} if number % 2 else {},
        }
        answer = (await client.post("/v1/hypothesize", json=asked)).json()
        said = [hypothesis["statement"] for hypothesis in answer["hypotheses"]]
        recalled = [memory["text"] for memory in answer["context"]["memories"]]
        assert recalled == [PLANTED]
        echo.append({"role": "assistant", "content": " ".join([*recalled, *said])[:2000]})
    held = (await client.get("/v1/users/ada/export")).json()["tables"]
    assert held["facets"] == []
    assert [memory["text"] for memory in held["memories"]] == [PLANTED]
    assert (await client.get("/v1/playbook", params={"user_id": "ada"})).json() == before
    stranger = {"user_id": "bob", "input_text": "build api"}
    assert "COBOL" not in (await client.post("/v1/hypothesize", json=stranger)).text

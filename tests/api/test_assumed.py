"""What the persona answers is assumed and named, not silently left out."""

from __future__ import annotations

from typing import Any

import httpx

from tests.api.test_story import ask


async def settle(client: httpx.AsyncClient, shown: dict[str, Any], detail: str) -> dict[str, Any]:
    """Pick the first option of the hypothesis about `detail`, or of the first that has options."""
    offered = [h for h in shown["hypotheses"] if h["options"]]
    hypothesis = next((h for h in offered if detail in h["detail"]), offered[0])
    body = {
        "request_id": shown["request_id"],
        "hypothesis_id": hypothesis["id"],
        "option": hypothesis["options"][0],
    }
    answer = await client.post("/v1/selections", json=body)
    assert answer.status_code == 200, answer.text
    outcome: dict[str, Any] = answer.json()
    return outcome


def asks_for(shown: dict[str, Any], detail: str) -> bool:
    return any(detail in hypothesis["detail"] for hypothesis in shown["hypotheses"])


async def test_an_answer_given_before_is_named_where_it_stands_in_for_a_question(
    client: httpx.AsyncClient,
) -> None:
    first = await ask(client, "Plan a trip to Japan", count=5)
    assert asks_for(first, "budget")
    assert (await settle(client, first, "budget"))["assumptions"] == []

    again = await ask(client, "Plan a trip to Japan", count=5)
    assert not asks_for(again, "budget")
    assumed = (await settle(client, again, "duration"))["assumptions"]
    assert [(one["option"], one["source"]) for one in assumed] == [("Economy", "persona")]
    assert "budget" in assumed[0]["detail"]


async def test_what_is_left_out_in_another_setting_is_assumed_in_so_many_words(
    client: httpx.AsyncClient,
) -> None:
    await settle(client, await ask(client, "Plan a trip to Japan", count=5), "budget")
    for request in ("Plan a trip to Italy", "Plan a party", "Buy a laptop"):
        shown = await ask(client, request, count=5)
        assumed = (await settle(client, shown, "style"))["assumptions"]
        assert asks_for(shown, "budget") != any("budget" in one["detail"] for one in assumed)


async def test_an_answer_of_another_setting_does_not_silence_the_question(client: httpx.AsyncClient) -> None:
    await settle(client, await ask(client, "Plan a trip to Japan", count=5), "budget")
    assert asks_for(await ask(client, "Plan a birthday party", count=5), "budget")

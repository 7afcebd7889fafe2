"""What the four files say of who answered: enough to train on, whoever it was."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson

from tests.api.conftest import running, settings_in
from tests.api.test_story import ask, pick
from tests.fake_vllm import BASE, FakeVLLM
from tests.servers import serving


def lines(folder: Path, name: str) -> list[dict[str, Any]]:
    return [orjson.loads(line) for line in (folder / "training" / name).read_bytes().splitlines()]


async def test_a_re_ranking_says_which_model_ranked_by_which_prompt(tmp_path: Path) -> None:
    async with serving(FakeVLLM()) as url:
        settings = settings_in(
            tmp_path,
            slm_impl="vllm",
            vllm_base_url=f"{url}/v1",
            vllm_model_name=BASE,
            enable_training_data_collection=True,
        )
        async with running(settings) as client:
            items = [{"text": "I write Python at work"}, {"text": "I like green tea"}]
            await client.post("/v1/memories", json={"user_id": "ada", "items": items})
            found = await client.post("/v1/memories/search", json={"user_id": "ada", "query": "Python"})
            assert found.json()["producer"] == "rerank", found.text
            await pick(client, await ask(client))
            await client.get("/v1/personas/ada")
    (ranked,) = lines(tmp_path, "ranking_data.jsonl")
    assert (ranked["backend"], ranked["model"]) == ("vllm", BASE)
    assert ranked["prompt_version"]
    assert "Python" in orjson.loads(ranked["messages"])[-1]["content"]
    (facet,) = lines(tmp_path, "persona_updates.jsonl")
    assert facet["backend"] in {"vllm", "heuristic"}
    assert facet["backend"] == facet["producer"]
    assert (facet["model"] == BASE) == (facet["backend"] == "vllm")


async def test_what_a_user_states_is_a_line_for_each_change(tmp_path: Path) -> None:
    async with running(settings_in(tmp_path, enable_training_data_collection=True)) as client:
        for value in ("Python", "Go", None):
            patch = {"facets": [{"name": "programming language", "value": value}]}
            assert (await client.patch("/v1/personas/ada", json=patch)).status_code == 200
    told = lines(tmp_path, "persona_updates.jsonl")
    assert [(line["before"] != "", orjson.loads(line["after"])["value"]) for line in told] == [
        (False, "Python"),
        (True, "Python"),
        (False, "Go"),
        (True, "Go"),
    ]
    assert {(line["backend"], line["facet"]) for line in told} == {("user", "programming language")}
    assert len({line["record_id"] for line in told}) == 4

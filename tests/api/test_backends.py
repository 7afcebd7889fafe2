"""Three backends behind one contract: switch by SLM_IMPL alone, fail into `local` and say so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest

from app.api.schemas import HypothesizeOut
from app.models import AdapterState
from app.storage.migrate import migrate
from app.storage.open import open_store
from tests.api.conftest import running, settings_in
from tests.fake_vllm import BASE, FakeVLLM
from tests.nouns import an_adapter
from tests.servers import serving

ASK = {"user_id": "ada", "input_text": "build api"}


def wired(folder: Path, url: str, impl: str, **more: Any) -> Any:
    both = {
        "vllm_base_url": f"{url}/v1",
        "vllm_model_name": BASE,
        "slm_http_base_url": f"{url}/v1",
        "slm_http_model": BASE,
    }
    return settings_in(folder, slm_impl=impl, **(both | more))


async def hypothesize(client: httpx.AsyncClient, **more: Any) -> dict[str, Any]:
    answer = await client.post("/v1/hypothesize", json=ASK | more)
    assert answer.status_code == 200, answer.text
    HypothesizeOut.model_validate_json(answer.content)
    body: dict[str, Any] = answer.json()
    return body


async def test_backends_change_by_one_setting_and_nothing_is_forgotten(tmp_path: Path) -> None:
    async with serving(FakeVLLM()) as url:
        for impl in ("local", "http", "vllm", "local"):
            async with running(wired(tmp_path, url, impl)) as client:
                answer = await hypothesize(client)
                assert answer["backend"] == {
                    "name": impl,
                    "model": answer["backend"]["model"],
                    "adapter": None,
                    "arm": None,
                    "degraded": False,
                    "reason": None,
                }
                assert len(answer["hypotheses"]) == 3
                if impl != "local":
                    assert impl in {hypothesis["producer"] for hypothesis in answer["hypotheses"]}
                    assert answer["backend"]["model"] == BASE
                await client.patch(
                    "/v1/personas/ada", json={"facets": [{"name": f"habit {impl}", "value": "yes"}]}
                )
                memory = {"user_id": "ada", "items": [{"text": f"said under {impl}", "external_id": impl}]}
                await client.post("/v1/memories", json=memory)
                persona = (await client.get("/v1/personas/ada")).json()
                memories = (await client.get("/v1/memories", params={"user_id": "ada"})).json()
    assert {facet["name"] for facet in persona["facets"]} == {"habit local", "habit http", "habit vllm"}
    assert {memory["external_id"] for memory in memories["items"]} == {"local", "http", "vllm"}


async def test_the_callers_adapter_is_the_model_and_lora_name_never_leaves(tmp_path: Path) -> None:
    fake = FakeVLLM(adapters={"mine": "/adapters/mine", "default": "/adapters/default"})
    async with (
        serving(fake) as url,
        running(wired(tmp_path, url, "vllm", vllm_lora_name="default", lora_allowed=("mine",))) as client,
    ):
        assert (await hypothesize(client))["backend"]["adapter"] == "default"
        assert (await hypothesize(client, lora_name="mine"))["backend"]["adapter"] == "mine"
    bodies = [recorded.body for recorded in fake.requests if recorded.path.endswith("/chat/completions")]
    assert [body["model"] for body in bodies][-1] == "mine"
    assert not any("lora_name" in body for body in bodies)
    assert all({"temperature", "top_p", "model"} <= body.keys() for body in bodies)


async def test_an_adapter_that_vllm_lacks_is_a_404_for_who_named_it(tmp_path: Path) -> None:
    async with (
        serving(FakeVLLM()) as url,
        running(wired(tmp_path, url, "vllm", lora_allowed=("*",))) as client,
    ):
        answer = await client.post("/v1/hypothesize", json=ASK | {"lora_name": "gone"})
        assert answer.status_code == 404
        assert answer.json()["type"] == "/problems/unknown-adapter"


async def test_a_configured_adapter_that_vllm_lacks_degrades(tmp_path: Path) -> None:
    async with (
        serving(FakeVLLM()) as url,
        running(wired(tmp_path, url, "vllm", vllm_lora_name="gone")) as client,
    ):
        answer = await hypothesize(client)
        assert answer["backend"]["degraded"]
        assert answer["backend"]["name"] == "local"


async def registered(settings: Any, state: AdapterState, base: str = BASE) -> None:
    await migrate(settings.database_url)
    store = open_store(settings.database_url)
    await store.add_adapter(an_adapter("mine", state=state, base_model=base))
    await store.aclose()


@pytest.mark.parametrize(
    ("state", "base"), [("tainted", BASE), ("rolled_back", BASE), ("registered", BASE), ("live", "another")]
)
async def test_a_configured_adapter_goes_round_no_registry(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, state: AdapterState, base: str
) -> None:
    fake = FakeVLLM(adapters={"mine": "/adapters/mine"})
    async with serving(fake) as url:
        settings = wired(tmp_path, url, "vllm", vllm_lora_name="mine")
        await registered(settings, state, base)
        async with running(settings) as client:
            assert (await hypothesize(client))["backend"]["adapter"] is None
    assert "mine" not in {body["model"] for body in fake.asked("/chat/completions")}
    assert "VLLM_LORA_NAME=mine is not used" in caplog.text


async def test_what_was_taken_back_is_followed_by_the_base_and_no_configured_adapter(tmp_path: Path) -> None:
    fake = FakeVLLM(adapters={"default": "/adapters/default"})
    async with serving(fake) as url:
        settings = wired(tmp_path, url, "vllm", vllm_lora_name="default")
        async with running(settings) as client:
            assert (await hypothesize(client))["backend"]["adapter"] == "default"
        await registered(settings, "rolled_back")
        async with running(settings) as client:
            backend = (await hypothesize(client))["backend"]
    assert (backend["name"], backend["adapter"], backend["degraded"]) == ("vllm", None, False)


@pytest.mark.parametrize("kind", ["status", "broken", "empty", "reset", "length"])
async def test_a_failing_backend_is_answered_for_by_local(tmp_path: Path, kind: str) -> None:
    fake = FakeVLLM()
    async with serving(fake) as url, running(wired(tmp_path, url, "vllm")) as client:
        fake.fail(kind)
        worse = await hypothesize(client)
        assert worse["backend"]["degraded"] and worse["backend"]["reason"]
        assert worse["timings_ms"]["backend_calls"] > 0
        assert len(worse["hypotheses"]) == 3
        assert {hypothesis["producer"] for hypothesis in worse["hypotheses"]} == {"local"}
        fake.heal()
        assert not (await hypothesize(client, user_id="bob"))["backend"]["degraded"]


async def test_no_backend_at_all_still_starts_and_answers(tmp_path: Path) -> None:
    async with running(wired(tmp_path, "http://127.0.0.1:9", "vllm")) as client:
        assert (await client.get("/health/ready")).status_code == 200
        assert (await hypothesize(client))["backend"]["degraded"]
        assert (await client.get("/v1/status")).json()["backend"]["ok"] is False


@pytest.mark.parametrize("impl", ["http", "vllm"])
async def test_a_models_questions_are_held_to_what_the_caller_said(tmp_path: Path, impl: str) -> None:
    async with serving(FakeVLLM()) as url, running(wired(tmp_path, url, impl)) as client:
        open_ = await hypothesize(client, user_id="bob")
        said = await hypothesize(client, user_id="cy", context={"goal": "sell more shoes"})
        german = await hypothesize(client, user_id="di", input_text="Erstelle bitte einen Plan für mich")
    assert "goal" in [one["detail"] for one in open_["hypotheses"]]
    assert "goal" not in [one["detail"] for one in said["hypotheses"]]
    assert german["hypotheses"] == []
    assert not any(answer["backend"]["degraded"] for answer in (open_, said, german))

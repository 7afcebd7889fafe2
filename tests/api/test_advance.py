"""What many answers earn: calibrated confidence, and an answer that is assumed and can be taken back."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx
import orjson

from app.main import create_app
from app.models import Selection
from app.services.advance import is_audited
from app.services.bundle import Services
from app.services.calibration import ENOUGH
from app.services.training.history import read_history
from tests.api.conftest import settings_in

KEYS = tuple(
    f"{tenant}:use:{sha256(key.encode()).hexdigest()}" for tenant, key in (("us", "ours"), ("them", "theirs"))
)
THEIRS = {"authorization": "Bearer theirs"}


@asynccontextmanager
async def service(folder: Path, **values: Any) -> AsyncIterator[tuple[httpx.AsyncClient, Services]]:
    """Two tenants; the client is of the tenant `us`."""
    app = create_app(settings_in(folder, api_keys=KEYS, auto_advance_alpha=0.1, **values))
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        headers = {"authorization": "Bearer ours"}
        async with httpx.AsyncClient(transport=transport, base_url="http://test", headers=headers) as client:
            yield client, app.state.services


async def ask(client: httpx.AsyncClient, user_id: str, headers: dict[str, str] | None = None) -> Any:
    body = {"user_id": user_id, "input_text": "build api"}
    answer = await client.post("/v1/hypothesize", json=body, headers=headers)
    assert answer.status_code == 200
    return answer.json()


async def agree(client: httpx.AsyncClient, services: Services, name: str, users: int) -> dict[str, Any]:
    """So many users are shown what a new user is shown now, and all answer the same question alike.

    It goes straight into the store: through the door each would take longer, to the same events.
    """
    shown = await ask(client, f"{name}-new")
    row = await services.store.get_interaction("us", shown["request_id"])
    assert row is not None
    language: dict[str, Any] = next(one for one in shown["hypotheses"] if "language" in one["detail"])
    for number in range(users):
        asked = replace(row, id=f"{name}-{number}", user_id=f"{name}-user-{number}")
        await services.store.add_interaction(asked)
        await services.store.add_selection(
            Selection(asked.id, "us", asked.user_id, language["id"], "Python", None, datetime.now(UTC))
        )
    services.learned.touched("us")
    return language


async def advanced(client: httpx.AsyncClient, user_id: str) -> Any:
    """The first answer with an assumption; a request that is audited has none."""
    while True:
        shown = await ask(client, user_id)
        if not is_audited(shown["request_id"]):
            return shown
        assert shown["auto_advance"] is None


async def test_confidence_is_calibrated_after_selections_enough_and_for_this_tenant_alone(
    tmp_path: Path,
) -> None:
    async with service(tmp_path) as (client, _):
        labels = 0
        while labels < ENOUGH:
            shown = await ask(client, f"user-{labels}")
            assert {one["confidence"]["calibrated"] for one in shown["hypotheses"]} == {None}
            assert [one["confidence"]["labels"] for one in shown["hypotheses"]] == [labels] * 3
            first = shown["hypotheses"][0]
            picked = {"request_id": shown["request_id"], "hypothesis_id": first["id"]}
            assert (await client.post("/v1/selections", json=picked)).status_code == 200
            assert (await client.post("/v1/selections", json=picked)).status_code == 200
            labels += len(shown["hypotheses"])
        sure = (await ask(client, "late"))["hypotheses"]
        assert all(0 < one["confidence"]["calibrated"] < 1 for one in sure)
        (calibration,) = (await client.get("/v1/calibration")).json()["calibrations"]
        assert (calibration["producer"], calibration["labels"]) == ("local", labels)
        theirs = await ask(client, "late", THEIRS)
        assert {one["confidence"]["calibrated"] for one in theirs["hypotheses"]} == {None}
        assert (await client.get("/v1/calibration", headers=THEIRS)).json()["calibrations"] == []


async def test_an_earned_advance_is_told_with_its_bound_and_can_be_taken_back(tmp_path: Path) -> None:
    async with service(tmp_path) as (client, services):
        theirs = (await ask(client, "ada", THEIRS))["hypotheses"]
        await agree(client, services, "early", 60)
        assert (await advanced(client, "ada"))["auto_advance"] is None
        language = await agree(client, services, "late", 120)
        shown = await advanced(client, "ada")
        advance = shown["auto_advance"]
        assert advance["option"] == "Python"
        assert advance["hypothesis_id"] in {one["id"] for one in shown["hypotheses"]}
        assert language["detail"].lower() in advance["assumption"].lower()
        assert advance["bound"]["alpha"] == 0.1
        assert advance["bound"]["labels"] > 100
        assert datetime.fromisoformat(advance["undo_expires_at"]) > datetime.now(UTC)

        undo = {"undo_token": advance["undo_token"]}
        assert (await client.post("/v1/undo", json=undo, headers=THEIRS)).status_code == 404
        assert (await client.post("/v1/undo", json={"undo_token": "guessed"})).status_code == 404
        before = (await services.learned.get("us")).events
        answers = [await client.post("/v1/undo", json=undo) for _ in range(2)]
        assert [answer.status_code for answer in answers] == [200, 200]
        assert answers[0].json() == answers[1].json()
        assert answers[0].json()["undone"]["option"] == "Python"
        state = await services.learned.get("us")
        assert state.events == before + 1
        assert state.fingerprint() == (await services.learned.refolded("us", page=7)).fingerprint()

        other = next(one for one in shown["hypotheses"] if one["id"] != advance["hypothesis_id"])
        picked = {"request_id": shown["request_id"], "hypothesis_id": other["id"]}
        assert (await client.post("/v1/selections", json=picked)).json()["assumptions"] == []
        again = (await ask(client, "ada", THEIRS))["hypotheses"]
        assert [one["confidence"] for one in again] == [one["confidence"] for one in theirs]
        assert [one["question"] for one in again] == [one["question"] for one in theirs]


async def test_an_undo_is_a_line_to_train_on_live_and_in_an_export(tmp_path: Path) -> None:
    async with service(tmp_path, enable_training_data_collection=True) as (client, services):
        await agree(client, services, "early", 60)
        await agree(client, services, "late", 120)
        shown = await advanced(client, "ada")
        undo = {"undo_token": shown["auto_advance"]["undo_token"]}
        for _ in range(2):
            assert (await client.post("/v1/undo", json=undo)).status_code == 200
        await services.collector.flush()
        await services.collector.export(await read_history(services.store), tmp_path / "again")
    (live,) = undone(tmp_path / "training")
    assert undone(tmp_path / "again") == [live]
    assert live["request_id"] == shown["request_id"]
    assert live["label_confidence"] == 1.0
    assert orjson.loads(live["picked"])["option"] == "Python"


def undone(folder: Path) -> list[dict[str, Any]]:
    told = (folder / "hypotheses_data.jsonl").read_bytes().splitlines()
    return [line for line in map(orjson.loads, told) if line["event"] == "undone"]


async def test_another_answer_to_the_question_takes_the_advance_back_and_silence_does_not(
    tmp_path: Path,
) -> None:
    async with service(tmp_path) as (client, services):
        await agree(client, services, "early", 60)
        await agree(client, services, "late", 120)
        shown = await advanced(client, "ada")
        advance = shown["auto_advance"]
        other = next(one for one in shown["hypotheses"] if one["id"] != advance["hypothesis_id"])
        picked = {"request_id": shown["request_id"], "hypothesis_id": other["id"]}
        (assumed,) = (await client.post("/v1/selections", json=picked)).json()["assumptions"]
        assert (assumed["option"], assumed["source"]) == ("Python", "habit")

        shown = await advanced(client, "bob")
        advance = shown["auto_advance"]
        typed = {
            "request_id": shown["request_id"],
            "hypothesis_id": advance["hypothesis_id"],
            "free_text": "Rust",
        }
        assert (await client.post("/v1/selections", json=typed)).json()["assumptions"] == []
        held = await services.store.get_advance("us", advance["undo_token"])
        assert held is not None
        assert held.outcome == "undone"


async def test_silence_is_learned_once_its_time_is_over_and_nothing_can_be_undone_then(
    tmp_path: Path,
) -> None:
    async with service(tmp_path, undo_seconds=1e-6) as (client, services):
        await agree(client, services, "early", 60)
        await agree(client, services, "late", 120)
        token = (await advanced(client, "ada"))["auto_advance"]["undo_token"]
        late = await client.post("/v1/undo", json={"undo_token": token})
        assert late.status_code == 409
        assert "ended" in late.json()["detail"]
        services.learned.touched("us")
        await services.learned.get("us")
        *_, last = await services.store.events_after("us", 0, 500)
        assert (last.kind, last.user_id) == ("silence", "ada")


async def test_erasing_a_user_leaves_what_the_others_taught(tmp_path: Path) -> None:
    async with service(tmp_path) as (client, services):
        await agree(client, services, "early", 60)
        before = (await services.learned.get("us")).fingerprint()
        await agree(client, services, "late", 1)
        await client.delete("/v1/users/late-user-0")
        assert (await services.learned.get("us")).fingerprint() == before

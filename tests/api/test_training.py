"""/v1/training over HTTP: datasets of what was picked, jobs in real processes, events as they come."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import AsyncIterator
from itertools import product
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.config import Settings
from tests.api.conftest import running, settings_in
from tests.documents import ROOT
from tests.fake_recipe import interpreter
from tests.training_jobs import eventually

USERS = ("ada", "bea", "cid", "dan", "eve")
ASKED = ("build api", "Plan a trip to Oslo.", "Find me a recipe.")
FAKES = ("fake/finish", "fake/hang", "fake/crash")
HOSTILE = (
    "../../secret.jsonl",
    "/etc/passwd",
    "..",
    ".",
    "a/../../b",
    "x\ny",
    "x\u0000y",
    "\u202e",
    "~/../../x",
    "link-out",
    "link-out/x.jsonl",
    "loop",
    "x" * 256,
)
INERT = ('"; rm -rf ~; "', "'$(touch pwned)'", "`touch pwned`", "a b\"'c", "$(touch pwned)", "import os")


def keys(**tenants: str) -> tuple[str, ...]:
    return tuple(
        f"{name}:{scopes}:{hashlib.sha256(name.encode()).hexdigest()}" for name, scopes in tenants.items()
    )


def key(name: str) -> dict[str, str]:
    return {"authorization": f"Bearer {name}"}


def training_settings(folder: Path, **values: Any) -> Settings:
    given = {
        "enable_training_data_collection": True,
        "training_python": str(interpreter(folder)),
        "training_models": FAKES,
        "adapters_dir": str(folder / "adapters"),
    }
    return settings_in(folder, **(given | values))


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    async with running(training_settings(tmp_path)) as opened:
        await picked(opened)
        yield opened


async def picked(client: httpx.AsyncClient) -> None:
    for user in USERS:
        for text in ASKED:
            asked = {"user_id": user, "input_text": text}
            answer = (await client.post("/v1/hypothesize", json=asked)).json()
            last = [one for one in answer["hypotheses"] if one["options"]][-1]
            said = {
                "request_id": answer["request_id"],
                "hypothesis_id": last["id"],
                "option": last["options"][0],
            }
            assert (await client.post("/v1/selections", json=said)).status_code == 200


def found(name: str, *folders: Path) -> list[Path]:
    return [*ROOT.glob(name), *(path for folder in folders for path in folder.rglob(name))]


async def queued(client: httpx.AsyncClient, **body: Any) -> dict[str, Any]:
    answer = await client.post("/v1/training/jobs", json=body)
    assert answer.status_code == 200, answer.text
    job: dict[str, Any] = answer.json()
    return job


async def stands(client: httpx.AsyncClient, job: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = (await client.get(f"/v1/training/jobs/{job['id']}")).json()
    return found


async def events(
    client: httpx.AsyncClient, job: dict[str, Any], **headers: str
) -> list[tuple[str, str, Any]]:
    """(event, id, data) until the stream ends."""
    answer = await client.get(f"/v1/training/jobs/{job['id']}/events", headers=headers)
    assert answer.headers["content-type"].startswith("text/event-stream")
    blocks = [block for block in answer.text.split("\n\n") if block and not block.startswith(":")]
    lines = [dict(line.split(": ", 1) for line in block.split("\n")) for block in blocks]
    return [(line["event"], line["id"], json.loads(line["data"])) for line in lines]


async def test_from_picks_to_a_trained_model(client: httpx.AsyncClient) -> None:
    made = (await client.post("/v1/training/datasets", json={"tasks": ["hypotheses"]})).json()["items"]
    assert made[0]["rows"]["train"] > 0
    job = await queued(client, dataset=made[0]["name"], model="fake/finish", options={"epochs": 2, "rank": 8})
    assert (job["status"], job["config"]["epochs"], job["config"]["rank"]) == ("queued", 2, 8)
    seen = await events(client, job)
    assert [data["step"] for event, _, data in seen if event == "progress"] == [1, 2, 3]
    assert ("log", {"line": "attempt from step 0"}) in [(event, data) for event, _, data in seen]
    assert (seen[-1][0], seen[-1][2]) == ("end", await stands(client, job))
    assert seen[-1][2]["status"] == "succeeded"
    assert await events(client, job, **{"last-event-id": seen[-1][1]}) == seen[-1:]
    stats = (await client.get("/v1/training/stats")).json()
    assert stats["labels"]["picked"] == len(USERS) * len(ASKED)
    shown_picked_and_shown_again = 3
    lines = stats["records"]["hypotheses_data.jsonl"]
    assert lines == shown_picked_and_shown_again * stats["labels"]["picked"]
    assert made[0]["name"].startswith(stats["datasets"][0]["name"])
    assert stats["running"] is None


async def test_a_dataset_is_made_where_none_is_named_and_held_out_rows_evaluate(
    client: httpx.AsyncClient, tmp_path: Path
) -> None:
    job = await queued(client)
    dataset, datasets = job["config"]["dataset"], tmp_path / "training" / "datasets"
    assert (datasets / dataset).read_text()
    beside = dataset.replace(".jsonl", ".eval.jsonl")
    assert job["config"].get("eval_dataset") == (beside if (datasets / beside).read_text() else None)
    assert (await events(client, job))[-1][2]["status"] == "succeeded"


@pytest.mark.parametrize("recipe", ["dpo", "kto"])
async def test_preferences_have_recipes_of_their_own(client: httpx.AsyncClient, recipe: str) -> None:
    job = await queued(client, recipe=recipe)
    assert job["config"]["method"] == recipe
    assert ("kto" in Path(job["config"]["dataset"]).name) == (recipe == "kto")
    assert (await events(client, job))[-1][2]["status"] == "succeeded"


async def test_cancel_and_resume(client: httpx.AsyncClient) -> None:
    job = await queued(client, model="fake/hang")

    async def begun() -> bool:
        return bool((await stands(client, job))["progress"])

    await eventually(begun)
    assert (await client.get("/v1/training/stats")).json()["running"]["id"] == job["id"]
    assert (await client.post(f"/v1/training/jobs/{job['id']}/resume")).status_code == 409
    assert (await client.post(f"/v1/training/jobs/{job['id']}/cancel")).status_code == 200
    assert (await events(client, job))[-1][2]["status"] == "cancelled"
    assert (await client.post(f"/v1/training/jobs/{job['id']}/cancel")).status_code == 409
    assert (await client.post(f"/v1/training/jobs/{job['id']}/resume")).json()["status"] == "queued"
    ended = (await events(client, job))[-1][2]
    assert (ended["status"], ended["progress"]["step"]) == ("succeeded", 3)


async def test_a_failure_says_why(client: httpx.AsyncClient) -> None:
    job = await queued(client, model="fake/crash")
    ended = (await events(client, job))[-1][2]
    assert (ended["status"], ended["detail"]) == ("failed", "exit status 1: not a number")


async def test_pages_of_jobs(client: httpx.AsyncClient) -> None:
    made = [(await queued(client))["id"] for _ in range(3)]
    first = (await client.get("/v1/training/jobs?limit=2")).json()
    rest = (await client.get(f"/v1/training/jobs?limit=2&cursor={first['next_cursor']}")).json()
    assert [job["id"] for job in first["items"] + rest["items"]] == made[::-1]
    assert rest["next_cursor"] is None


async def test_a_path_that_leads_elsewhere_is_refused(client: httpx.AsyncClient, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "x.jsonl").write_text("{}\n")
    for home in (tmp_path / "training" / "datasets", tmp_path / "adapters" / "trained" / "default"):
        home.mkdir(parents=True)
        (home / "link-out").symlink_to(outside)
        (home / "loop").symlink_to(home / "loop")
    for name, said in product(("dataset", "output"), HOSTILE):
        answer = await client.post("/v1/training/jobs", json={name: said})
        assert answer.status_code == 422, (name, said, answer.text)
    assert (await client.get("/v1/training/jobs")).json()["items"] == []
    assert sorted(path.name for path in outside.iterdir()) == ["x.jsonl"]


async def test_hostile_words_are_words(client: httpx.AsyncClient, tmp_path: Path) -> None:
    for said in INERT:
        job = await queued(client, output=said)
        assert (await events(client, job))[-1][2]["status"] == "succeeded", said
        assert (tmp_path / "adapters" / "trained" / "default" / said / "adapter_config.json").exists()
        again = await client.post("/v1/training/jobs", json={"output": said})
        assert again.status_code == 422
        assert "taken" in again.json()["detail"]
    assert not found("pwned", tmp_path)


REFUSED: tuple[dict[str, Any], ...] = (
    {"model": 'fake/finish"\nimport os'},
    {"model": "../model"},
    {"recipe": "evaluate"},
    {"recipe": "../sft"},
    {"task": "ranking"},
    {"options": {"output": "/tmp/x"}},
    {"options": {"job_dir": "/tmp/x"}},
    {"options": {"model_name": "x"}},
    {"options": {"$(touch pwned)": 1}},
    {"options": {"epochs": "2; touch pwned"}},
    {"options": {"rank": -1}},
    {"options": {"engine": "$(touch pwned)"}},
    {"misspelt": 1},
)


async def test_what_no_recipe_takes_is_refused(client: httpx.AsyncClient) -> None:
    for body in REFUSED:
        answer = await client.post("/v1/training/jobs", json=body)
        assert answer.status_code == 422, (body, answer.text)
    assert (await client.get("/v1/training/jobs")).json()["items"] == []


async def test_without_records_there_is_nothing_to_train_on(tmp_path: Path) -> None:
    async with running(training_settings(tmp_path)) as client:
        made = (await client.post("/v1/training/datasets", json={})).json()["items"]
        assert [one["rows"]["train"] for one in made] == [0, 0, 0, 0]
        answer = await client.post("/v1/training/jobs", json={})
        assert answer.status_code == 422
        assert "no rows to train on" in answer.json()["detail"]


async def test_where_nothing_is_collected_the_database_is_exported(tmp_path: Path) -> None:
    async with running(training_settings(tmp_path, enable_training_data_collection=False)) as client:
        await picked(client)
        made = (await client.post("/v1/training/datasets", json={"tasks": ["hypotheses"]})).json()["items"]
        assert made[0]["rows"]["train"] > 0


async def test_tenants_do_not_see_each_other(tmp_path: Path) -> None:
    settings = training_settings(tmp_path, api_keys=keys(one="use+train", two="use+train", guest="use"))
    async with running(settings) as client:
        client.headers.update(key("one"))
        await picked(client)
        made = (await client.post("/v1/training/datasets", json={"tasks": ["hypotheses"]})).json()["items"]
        job = await queued(client, dataset=made[0]["name"])
        await events(client, job)

        client.headers.update(key("two"))
        stats = (await client.get("/v1/training/stats")).json()
        assert (stats["datasets"], stats["labels"]["picked"]) == ([], 0)
        assert (await client.get("/v1/training/jobs")).json()["items"] == []
        for call in ("", "/events"):
            assert (await client.get(f"/v1/training/jobs/{job['id']}{call}")).status_code == 404
        for call in ("/cancel", "/resume"):
            assert (await client.post(f"/v1/training/jobs/{job['id']}{call}")).status_code == 404
        answer = await client.post("/v1/training/jobs", json={"dataset": made[0]["name"]})
        assert answer.status_code == 422

        client.headers.update(key("guest"))
        assert (await client.get("/v1/training/stats")).status_code == 403
        assert (await client.post("/v1/training/jobs", json={})).status_code == 403
        del client.headers["authorization"]
        assert (await client.get("/v1/training/jobs")).status_code == 401


async def test_what_is_held_out_is_nobodys_to_learn_from(client: httpx.AsyncClient, tmp_path: Path) -> None:
    made = (await client.post("/v1/training/datasets", json={"tasks": ["hypotheses"]})).json()["items"]
    directory = tmp_path / "training" / "datasets" / made[0]["name"].partition("/")[0]
    beside = sorted(path.name for path in directory.glob("*.jsonl"))
    assert beside == ["hypotheses.eval.jsonl", "hypotheses.jsonl", "lineage.jsonl"]
    for name in beside:
        answer = await client.post("/v1/training/jobs", json={"dataset": f"{directory.name}/{name}"})
        assert answer.status_code == (200 if name == "hypotheses.jsonl" else 422), name


async def test_no_directory_of_the_server_is_told(client: httpx.AsyncClient, tmp_path: Path) -> None:
    job = await queued(client, output="monday")
    ended = (await events(client, job))[-1][2]
    pages = [
        (await client.get(f"/v1/training/{page}")).text for page in ("jobs", "stats", f"jobs/{job['id']}")
    ]
    assert str(tmp_path) not in "".join([json.dumps([job, ended]), *pages])
    assert (ended["config"]["output"], ended["config"]["dataset"].count("/")) == ("monday", 1)


async def test_a_dataset_that_is_gone_is_told(client: httpx.AsyncClient, tmp_path: Path) -> None:
    made = (await client.post("/v1/training/datasets", json={"tasks": ["hypotheses"]})).json()["items"]
    shutil.rmtree(tmp_path / "training" / "datasets")
    answer = await client.post("/v1/training/jobs", json={"dataset": made[0]["name"]})
    assert answer.status_code == 422
    assert "no such file" in answer.json()["detail"]


async def test_a_queue_is_not_endless(tmp_path: Path) -> None:
    async with running(training_settings(tmp_path, train_in_service=False)) as client:
        await picked(client)
        made = (await client.post("/v1/training/datasets", json={"tasks": ["hypotheses"]})).json()["items"]
        answers = [
            (await client.post("/v1/training/jobs", json={"dataset": made[0]["name"]})).status_code
            for _ in range(21)
        ]
        assert answers == [200] * 20 + [409]

"""Adapters and experiments over HTTP: who may do what, and what the story looks like from outside."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from app.config import Settings
from tests.adapter_directories import write_adapter
from tests.api.conftest import running, settings_in

KEYS = {
    "user": ("acme", "use"),
    "trainer": ("acme", "use+train"),
    "admin": ("acme", "use+train+admin"),
    "stranger": ("other", "use+train+admin"),
}
MODEL = Settings(_env_file=None).vllm_model_name


def entry(name: str) -> str:
    tenant, scopes = KEYS[name]
    return f"{tenant}:{scopes}:{hashlib.sha256(name.encode()).hexdigest()}"


def bearer(name: str) -> dict[str, str]:
    return {"authorization": f"Bearer {name}"}


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    settings = settings_in(
        tmp_path, adapters_dir=str(tmp_path / "adapters"), api_keys=tuple(map(entry, KEYS))
    )
    for seed, name in enumerate(("monday", "tuesday")):
        place = tmp_path / "adapters" / "trained" / "acme" / name
        write_adapter(place, seed=seed, base_model_name_or_path=MODEL)
    async with running(settings) as opened:
        yield opened


async def registered(client: httpx.AsyncClient, path: str = "monday") -> str:
    answer = await client.post("/v1/adapters", json={"path": path}, headers=bearer("trainer"))
    assert answer.status_code == 200, answer.text
    assert answer.json()["state"] == "registered"
    return str(answer.json()["name"])


async def test_an_adapter_is_registered_once(client: httpx.AsyncClient) -> None:
    name = await registered(client)
    assert await registered(client) == name
    listed = (await client.get("/v1/adapters", headers=bearer("trainer"))).json()["items"]
    assert [(one["name"], one["base_model"], one["rank"]) for one in listed] == [(name, MODEL, 8)]
    assert (await client.get("/v1/adapters", headers=bearer("stranger"))).json() == {"items": []}


@pytest.mark.parametrize("path", ["../acme/monday", "/etc", "monday/../tuesday", "nothing", "a\nb", "."])
async def test_a_path_leads_to_the_tenant_s_own_adapters_or_nowhere(
    client: httpx.AsyncClient, path: str
) -> None:
    answer = await client.post("/v1/adapters", json={"path": path}, headers=bearer("trainer"))
    assert answer.status_code == 422, answer.text


async def test_another_tenant_s_path_is_not_there(client: httpx.AsyncClient) -> None:
    answer = await client.post("/v1/adapters", json={"path": "monday"}, headers=bearer("stranger"))
    assert answer.status_code == 422


async def test_scopes(client: httpx.AsyncClient) -> None:
    name = await registered(client)
    asked = [
        ("GET", "/v1/adapters", None, "user"),
        ("GET", "/v1/experiments", None, "user"),
        ("POST", f"/v1/adapters/{name}/promote", {"forced": True}, "trainer"),
        ("POST", "/v1/adapters/rollback", {}, "trainer"),
        ("POST", f"/v1/adapters/{name}/canary", {"forced": True}, "trainer"),
        ("POST", "/v1/experiments", {"candidate": name, "forced": True}, "trainer"),
        ("POST", f"/v1/adapters/{name}/canary", {}, "user"),
    ]
    for method, url, body, key in asked:
        answer = await client.request(method, url, json=body, headers=bearer(key))
        assert answer.status_code == 403, (url, answer.text)


async def test_past_the_gates_by_an_admin_s_force_alone(client: httpx.AsyncClient) -> None:
    name = await registered(client)
    refused = await client.post(f"/v1/adapters/{name}/canary", json={}, headers=bearer("trainer"))
    assert (refused.status_code, "registered" in refused.json()["detail"]) == (409, True)
    started = await client.post(f"/v1/adapters/{name}/canary", json={"forced": True}, headers=bearer("admin"))
    assert (started.json()["candidate"], started.json()["phase"]) == (name, "shadow")
    history = (await client.get(f"/v1/adapters/{name}", headers=bearer("trainer"))).json()
    assert (history["state"], history["moves"][-1]["after"]) == ("loaded", "loaded")
    assert "forced" in history["moves"][-1]["reason"]


@pytest.mark.parametrize("door", ["/v1/experiments", "/v1/adapters/{name}/canary"])
async def test_share_and_alpha_are_the_settings_where_none_is_named(tmp_path: Path, door: str) -> None:
    write_adapter(tmp_path / "adapters" / "trained" / "default" / "monday", base_model_name_or_path=MODEL)
    settings = settings_in(
        tmp_path, adapters_dir=str(tmp_path / "adapters"), canary_share=0.15, experiment_alpha=0.01
    )
    async with running(settings) as client:
        name = (await client.post("/v1/adapters", json={"path": "monday"})).json()["name"]
        body = {"forced": True} | ({"candidate": name} if door == "/v1/experiments" else {})
        started = (await client.post(door.format(name=name), json=body)).json()
    assert (started["share"], started["alpha"]) == (0.15, 0.01)


async def test_an_experiment_is_read_at_any_moment(client: httpx.AsyncClient) -> None:
    name = await registered(client)
    body = {"candidate": name, "share": 0.2, "alpha": 0.1, "forced": True}
    started = (await client.post("/v1/experiments", json=body, headers=bearer("admin"))).json()
    listed = (await client.get("/v1/experiments", headers=bearer("trainer"))).json()["items"]
    assert listed == [started]
    look = (await client.get(f"/v1/experiments/{started['id']}", headers=bearer("trainer"))).json()
    assert (look["share"], look["alpha"], look["decision"]) == (0.2, 0.1, "running")
    assert [arm["adapter"] for arm in look["arms"]] == [None, name]
    assert (look["evidence"]["low"], look["evidence"]["high"]) == (-1.0, 1.0)
    assert [guard["name"] for guard in look["guards"]] == ["undone", "degraded", "slow"]
    foreign = await client.get(f"/v1/experiments/{started['id']}", headers=bearer("stranger"))
    assert foreign.status_code == 404


async def test_promoted_and_taken_back_by_hand(client: httpx.AsyncClient) -> None:
    first, second = await registered(client), await registered(client, "tuesday")
    for name in (first, second):
        answer = await client.post(
            f"/v1/adapters/{name}/promote", json={"forced": True}, headers=bearer("admin")
        )
        assert answer.json()["state"] == "live"
    taken = await client.post("/v1/adapters/rollback", json={"name": second}, headers=bearer("admin"))
    assert (taken.json()["live"]["name"], taken.json()["live"]["state"]) == (first, "live")
    again = await client.post("/v1/adapters/rollback", json={"name": second}, headers=bearer("admin"))
    assert again.status_code == 409
    none = await client.post("/v1/adapters/rollback", json={}, headers=bearer("admin"))
    assert none.json() == {"task": "hypotheses", "live": None}


async def test_nothing_is_examined_without_a_server(client: httpx.AsyncClient) -> None:
    name = await registered(client)
    answer = await client.post(f"/v1/adapters/{name}/examine", headers=bearer("trainer"))
    assert (answer.status_code, "SLM_IMPL=vllm" in answer.json()["detail"]) == (501, True)
    assert (await client.post(f"/v1/adapters/{name}/examine", headers=bearer("user"))).status_code == 403


async def test_shares_and_names_that_make_no_sense(client: httpx.AsyncClient) -> None:
    for share in (0, 0.01, 0.9):
        body = {"share": share, "forced": True}
        answer = await client.post("/v1/adapters/nobody/canary", json=body, headers=bearer("admin"))
        assert answer.status_code == 422
    unknown = await client.post("/v1/adapters/nobody/promote", json={}, headers=bearer("admin"))
    assert unknown.status_code == 404

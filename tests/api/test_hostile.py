"""Hostile names, paths and text in every field that reaches a script, a path or vLLM: refused or inert."""

from __future__ import annotations

import json
import pickle
import zlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
import pytest_asyncio

from app.main import create_app
from app.services.bundle import Services
from tests.adapter_directories import write_adapter
from tests.api.conftest import settings_in
from tests.api.test_training import picked
from tests.documents import ROOT
from tests.fake_recipe import interpreter
from tests.fake_vllm import BASE, FakeVLLM
from tests.servers import serving

pytestmark = pytest.mark.asyncio(loop_scope="module")

WORDS = (
    "'",
    '"; import os; os.system("touch pwned"); "',
    "a\nimport os",
    "$(touch pwned)",
    "`touch pwned`",
    "; touch pwned #",
    "'; DROP TABLE adapters; --",
    "../../outside",
    "..",
    "/etc/passwd",
    "~/.ssh",
    "%2e%2e%2foutside",
    "link-out/adapter",
    "loop",
    "-rf",
    "--config=outside.json",
    "{{7*7}}",
    "${HOME}",
    "{0.__class__}",
    "a\x00b",
    "\u202egpj",
    "x" * 256,
    "x" * 100_000,
)
REFUSED = {400, 404, 405, 409, 413, 422}


@dataclass(frozen=True)
class Field:
    """One place where a caller's word goes in."""

    name: str
    method: str
    path: str
    """With {} where the word is a part of it."""
    body: Callable[[str], Any] | None = None


def job(**change: Any) -> dict[str, Any]:
    return {"recipe": "sft", "options": {"rank": 8}} | change


OUTPUTS = ("adapters/trained/default", "training/jobs")
JOBS, ADAPTERS, TRIALS = "/v1/training/jobs", "/v1/adapters", "/v1/experiments"
FIELDS = (
    Field("datasets: tasks", "POST", "/v1/training/datasets", lambda said: {"tasks": [said]}),
    Field("datasets: name of a field", "POST", "/v1/training/datasets", lambda said: {said: 1}),
    Field("job: recipe", "POST", JOBS, lambda said: job(recipe=said)),
    Field("job: task", "POST", JOBS, lambda said: job(task=said)),
    Field("job: dataset", "POST", JOBS, lambda said: job(dataset=said)),
    Field("job: model", "POST", JOBS, lambda said: job(model=said)),
    Field("job: output", "POST", JOBS, lambda said: job(output=said)),
    Field("job: name of an option", "POST", JOBS, lambda said: job(options={said: 1})),
    *(
        Field(f"job: option {name}", "POST", JOBS, lambda said, name=name: job(options={name: said}))  # type: ignore[misc]
        for name in (
            "output", "dataset", "eval_dataset", "job_dir", "adapter", "model_name", "base_name", "engine",
            "save", "dtype", "rank", "epochs", "learning_rate", "seed", "resume", "manifest_id", "max_steps",
        )
    ),
    Field("job: id", "GET", f"{JOBS}/{{}}"),
    Field("job: id of the events", "GET", f"{JOBS}/{{}}/events"),
    Field("job: id to cancel", "POST", f"{JOBS}/{{}}/cancel"),
    Field("job: id to resume", "POST", f"{JOBS}/{{}}/resume"),
    Field("jobs: cursor", "GET", f"{JOBS}?cursor={{}}"),
    Field("jobs: limit", "GET", f"{JOBS}?limit={{}}"),
    Field("adapter: path", "POST", ADAPTERS, lambda said: {"path": said}),
    Field("adapter: task", "POST", ADAPTERS, lambda said: {"path": "good", "task": said}),
    Field("adapter: lineage", "POST", ADAPTERS, lambda said: {"path": "good", "lineage": {said: said}}),
    Field("adapter: name", "GET", f"{ADAPTERS}/{{}}"),
    Field("adapter: name of a candidate", "POST", f"{ADAPTERS}/{{}}/canary", lambda _: {"forced": True}),
    Field("adapter: name to promote", "POST", f"{ADAPTERS}/{{}}/promote", lambda _: {"forced": True}),
    Field("rollback: name", "POST", f"{ADAPTERS}/rollback", lambda said: {"name": said}),
    Field("rollback: task", "POST", f"{ADAPTERS}/rollback", lambda said: {"task": said}),
    Field("trial: candidate", "POST", TRIALS, lambda said: {"candidate": said, "forced": True}),
    Field("trial: share", "POST", TRIALS, lambda said: {"candidate": "x", "share": said}),
    Field("trial: id", "GET", f"{TRIALS}/{{}}"),
    Field(
        "lora_name",
        "POST",
        "/v1/hypothesize",
        lambda said: {"user_id": "ada", "input_text": "build api", "lora_name": said},
    ),
)  # fmt: skip


@dataclass(frozen=True)
class House:
    client: httpx.AsyncClient
    services: Services
    folder: Path
    fake: FakeVLLM

    def outside(self) -> dict[str, bytes | None]:
        """All files but those where the service writes, and what lies about in the project itself."""
        own = ("embed.db", "adapters", "training")
        files = [path for path in self.folder.rglob("*") if path.relative_to(self.folder).parts[0] not in own]
        files = [path for path in files if not path.name.startswith("embed.db-")]
        found = {str(path): path.read_bytes() if path.is_file() else None for path in files}
        return found | {path.name: None for path in ROOT.iterdir() if "pwned" in path.name}

    def is_its_own(self, output: Path) -> bool:
        """Where links lead counts."""
        return any(output.resolve().is_relative_to(self.folder.resolve() / home) for home in OUTPUTS)

    def shelf(self) -> set[str]:
        return {path.name for path in (self.folder / "adapters").iterdir()}


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def house(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    """One service for all, before a server that takes any adapter's name; jobs are queued, not run."""
    folder = tmp_path_factory.mktemp("house")
    home = folder / "adapters" / "trained" / "default"
    write_adapter(folder / "outside" / "adapter", base_model_name_or_path=BASE)
    write_adapter(home / "good", base_model_name_or_path=BASE)
    (home / "link-out").symlink_to(folder / "outside")
    (home / "loop").symlink_to(home / "loop")
    fake = FakeVLLM()
    async with serving(fake) as url:
        settings = settings_in(
            folder,
            slm_impl="vllm",
            vllm_base_url=f"{url}/v1",
            vllm_model_name=BASE,
            lora_allowed=("*",),
            adapters_dir=str(folder / "adapters"),
            enable_training_data_collection=True,
            training_python=str(interpreter(folder)),
            train_in_service=False,
        )
        app = create_app(settings)
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=transport, base_url="http://test") as client,
        ):
            await picked(client)
            yield House(client, app.state.services, folder, fake)


async def said_to(house: House, field: Field, word: str) -> httpx.Response:
    path = field.path.format(quote(word[:4000], safe=""))
    body = None if field.body is None else field.body(word)
    return await house.client.request(field.method, path, json=body)


async def harmless(house: House, answer: httpx.Response, word: str) -> None:
    """A problem with a status of the caller's, or taken as the word that it is; a queued job is cancelled."""
    assert answer.status_code in {200, *REFUSED}, (word, answer.status_code, answer.text)
    if answer.status_code != 200:
        assert answer.headers["content-type"] == "application/problem+json", word
    elif answer.json().get("status") == "queued":
        stands = await house.services.store.get_job("default", answer.json()["id"])
        assert stands is not None
        assert house.is_its_own(Path(stands.config["output"]))
        await house.client.post(f"{JOBS}/{stands.id}/cancel")


@pytest.mark.parametrize("field", FIELDS, ids=lambda field: field.name)
async def test_a_hostile_word_is_refused_or_inert(house: House, field: Field) -> None:
    before = house.outside()
    for word in WORDS:
        await harmless(house, await said_to(house, field, word), word)
    assert house.outside() == before
    assert {name for name in house.shelf() if not name.startswith("hypotheses-")} == {"trained"}


async def test_a_hostile_name_reaches_vllm_as_a_model_s_name_or_not_at_all(house: House) -> None:
    house.fake.requests.clear()
    (field,) = (one for one in FIELDS if one.name == "lora_name")
    for word in WORDS:
        assert (await said_to(house, field, word)).status_code in {404, 422}, word
    asked = [one for one in house.fake.requests if one.body.get("model") != BASE]
    assert {one.path for one in asked} == {"/v1/chat/completions", "/generative_scoring"}
    assert {one.body["model"] for one in asked} <= set(WORDS)


def _pickled(directory: Path) -> None:
    (directory / "adapter_model.bin").write_bytes(pickle.dumps(print))


def _weights_are_a_pickle(directory: Path) -> None:
    (directory / "adapter_model.safetensors").write_bytes(pickle.dumps(print))


def _weights_elsewhere(directory: Path) -> None:
    weights = directory / "adapter_model.safetensors"
    weights.rename(directory.parent / f"{directory.name}.elsewhere")
    weights.symlink_to(directory.parent / f"{directory.name}.elsewhere")


def _base_with_orders(directory: Path) -> None:
    config = directory / "adapter_config.json"
    told = json.loads(config.read_text())
    config.write_text(json.dumps(told | {"base_model_name_or_path": '"; $(touch pwned) #\n../../x'}))


def _rank_with_orders(directory: Path) -> None:
    config = directory / "adapter_config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"r": "$(touch pwned)"}))


@pytest.mark.parametrize(
    "spoil", [_pickled, _weights_are_a_pickle, _weights_elsewhere, _base_with_orders, _rank_with_orders]
)
async def test_a_hostile_adapter_directory_is_refused(house: House, spoil: Callable[[Path], None]) -> None:
    place = house.folder / "adapters" / "trained" / "default" / spoil.__name__
    spoil(write_adapter(place, seed=9, base_model_name_or_path=BASE))
    before, shelf = house.outside(), house.shelf()
    answer = await house.client.post(ADAPTERS, json={"path": spoil.__name__})
    assert answer.status_code == 422, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert (house.outside(), house.shelf()) == (before, shelf)


@pytest.mark.parametrize("name", ['it\'s "one"; touch pwned', "$(touch pwned)", "`x`", "-rf", "a b"])
async def test_an_odd_directory_name_is_only_a_name(house: House, name: str) -> None:
    place = house.folder / "adapters" / "trained" / "default" / name
    write_adapter(place, seed=zlib.crc32(name.encode()) % 1000, base_model_name_or_path=BASE)
    before = house.outside()
    answer = await house.client.post(ADAPTERS, json={"path": name, "lineage": {"from": name}})
    assert answer.status_code == 200, answer.text
    told = answer.json()
    assert (told["name"], told["lineage"]["from"]) == (f"hypotheses-{told['digest'][:12]}", name)
    assert house.outside() == before

"""Two tenants' live adapters on a real vLLM that is killed under load: nobody fails, each hears its own."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import shutil
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.config import Settings
from app.text import words
from tests.api.conftest import running, settings_in
from tests.real.vllm_server import ADAPTERS, VLLMServer

pytestmark = [pytest.mark.vllm, pytest.mark.slow]

STYLES = {"acme": "questions", "beta": "assumptions"}
"""The adapter of each tenant; `plain` has none."""
TENANTS = (*STYLES, "plain")
TEXTS = ("build api", "plan a trip", "write a letter", "design a logo")
CLIENTS = 8
SECONDS = 120.0
_READS = 0.5
"""Seconds that a client takes to read what came without the model: it came at once."""

Voices = dict[tuple[str, str], frozenset[str]]
"""The words of the likeliest answer, by tenant and request."""


@dataclass(frozen=True, slots=True)
class Heard:
    """One answer as a client saw it."""

    tenant: str
    text: str
    adapter: str | None
    by_model: bool
    degraded: bool
    words: frozenset[str]
    at: float

    @property
    def kind(self) -> str:
        if self.adapter is not None:
            return "adapter"
        return "base" if self.by_model else "local"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[VLLMServer]:
    """Started without any adapter: what it has, the service gave it."""
    started = VLLMServer(tmp_path / "vllm.log", adapters={})
    started.start()
    try:
        yield started
    finally:
        started.stop()


@pytest.fixture
async def client(server: VLLMServer, tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    async with opened(tmp_path, server.base_url, server.model) as found:
        yield found


@asynccontextmanager
async def opened(folder: Path, url: str, model: str) -> AsyncIterator[httpx.AsyncClient]:
    async with running(settings(folder, url, model)) as found:
        found.timeout = httpx.Timeout(2 * SECONDS)
        yield found


def settings(folder: Path, url: str, model: str) -> Settings:
    """The model answers alone and without examples, so that an answer has one voice."""
    keys = [f"{name}:use+train+admin:{hashlib.sha256(name.encode()).hexdigest()}" for name in TENANTS]
    return settings_in(
        folder,
        slm_impl="vllm",
        vllm_base_url=url,
        vllm_model_name=model,
        vllm_timeout=SECONDS,
        request_timeout=SECONDS,
        hypotheses_from="model",
        hypotheses_temperature=0.0,
        playbook="none",
        adapters_dir=str(folder / "adapters"),
        train_in_service=False,
        api_keys=tuple(keys),
    )


def bearer(tenant: str) -> dict[str, str]:
    return {"authorization": f"Bearer {tenant}"}


async def go_live(client: httpx.AsyncClient, source: Path, folder: Path, tenant: str) -> str:
    """Registered and promoted by the tenant's admin, past the gates; its name."""
    shutil.copytree(source, folder / "adapters" / "trained" / tenant / source.name)
    registered = await client.post("/v1/adapters", json={"path": source.name}, headers=bearer(tenant))
    name = str(registered.raise_for_status().json()["name"])
    live = await client.post(f"/v1/adapters/{name}/promote", json={"forced": True}, headers=bearer(tenant))
    live.raise_for_status()
    return name


async def verified(client: httpx.AsyncClient, names: Sequence[str]) -> None:
    """Until the status says so of all of them."""
    async with asyncio.timeout(SECONDS):
        while True:
            (replica,) = (await client.get("/v1/status", headers=bearer("plain"))).json()["replicas"]
            if {one["name"] for one in replica["reconciled"] if one["phase"] == "verified"} >= set(names):
                return
            await asyncio.sleep(0.2)


async def ask(client: httpx.AsyncClient, tenant: str, text: str, user_id: str) -> Heard:
    body = {"user_id": user_id, "input_text": text, "count": 1}
    answer = await client.post("/v1/hypothesize", json=body, headers=bearer(tenant))
    assert answer.status_code == 200, answer.text
    told = answer.json()
    backend, asked = told["backend"], told["hypotheses"]
    said = " ".join(f"{one['detail']} {one['question']} {' '.join(one['options'])}" for one in asked)
    return Heard(
        tenant=tenant,
        text=text,
        adapter=backend["adapter"],
        by_model=backend["name"] == "vllm",
        degraded=backend["degraded"],
        words=frozenset(words(said)),
        at=time.monotonic(),
    )


async def ask_on(client: httpx.AsyncClient, number: int, over: asyncio.Event, heard: list[Heard]) -> None:
    """A client of one tenant, asking all the time."""
    tenant = TENANTS[number % len(TENANTS)]
    for text in itertools.cycle(TEXTS[number % len(TEXTS) :] + TEXTS[: number % len(TEXTS)]):
        if over.is_set():
            return
        heard.append(await ask(client, tenant, text, f"user-{number}"))
        await asyncio.sleep(0.0 if heard[-1].by_model else _READS)


async def recorded(client: httpx.AsyncClient) -> Voices:
    """How each tenant's model answers when nobody else asks."""
    return {
        (tenant, text): (await ask(client, tenant, text, "first")).words
        for tenant in TENANTS
        for text in TEXTS
    }


def speaker(heard: Heard, voices: Voices) -> str:
    """Whose recorded answer it is most like: in a batch a model rounds otherwise, hence not to the letter."""

    def likeness(tenant: str) -> float:
        said = voices[tenant, heard.text]
        return len(said & heard.words) / max(1, len(said | heard.words))

    return max(TENANTS, key=likeness)


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(2 * SECONDS):
        while not holds():  # noqa: ASYNC110 - it is the clients' list that is looked at
            await asyncio.sleep(0.1)


def answered_by_adapters(heard: Sequence[Heard], since: float, each: int) -> bool:
    counts = Counter(one.tenant for one in heard if one.kind == "adapter" and one.at > since)
    return all(counts[tenant] >= each for tenant in STYLES)


async def killed_under_load(client: httpx.AsyncClient, server: VLLMServer) -> tuple[list[Heard], float]:
    """What eight clients heard before, while and after the server was away; when it was back."""
    heard: list[Heard] = []
    over = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        for number in range(CLIENTS):
            group.create_task(ask_on(client, number, over, heard))
        await until(lambda: answered_by_adapters(heard, 0.0, 3))
        await asyncio.to_thread(server.kill)
        await asyncio.to_thread(server.start)
        back = time.monotonic()
        await until(lambda: answered_by_adapters(heard, back, 3))
        over.set()
    return heard, back


def report(heard: Sequence[Heard], voices: Voices) -> str:
    lines = [f"{len(heard)} requests, {CLIENTS} clients, one kill -9, no failure"]
    for tenant in TENANTS:
        mine = [one for one in heard if one.tenant == tenant]
        kinds = Counter(one.kind for one in mine)
        same = sum(one.words == voices[tenant, one.text] for one in mine if one.kind == "adapter")
        told = ", ".join(f"{kinds[kind]} by {kind}" for kind in ("adapter", "base", "local"))
        lines.append(f"  {tenant}: {told}; {sum(one.degraded for one in mine)} degraded; {same} as recorded")
    return "\n".join(lines)


async def test_a_server_killed_under_load_gets_its_adapters_back_before_they_are_routed_to(
    client: httpx.AsyncClient, server: VLLMServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names: dict[str, Any] = {"plain": None}
    for tenant, style in STYLES.items():
        (source,) = ADAPTERS.glob(f"{style}-*")
        names[tenant] = await go_live(client, source, tmp_path, tenant)
    await verified(client, [names[tenant] for tenant in STYLES])
    voices = await recorded(client)
    for text in TEXTS:
        assert len({voices[tenant, text] for tenant in TENANTS}) == len(TENANTS), (
            "nobody could tell them apart"
        )

    heard, back = await killed_under_load(client, server)
    with capsys.disabled():
        sys.stdout.write(f"\n{report(heard, voices)}\n")

    for one in heard:
        assert one.adapter in (names[one.tenant], None)
        assert one.degraded or one.kind == ("base" if one.tenant == "plain" else "adapter")
        if one.by_model:
            assert speaker(one, voices) == (one.tenant if one.kind == "adapter" else "plain"), one
    assert {one.kind for one in heard if one.at < back} >= {"adapter", "local"}
    log = server.log.read_text(errors="replace")
    assert log.count('"POST /v1/load_lora_adapter HTTP/1.1" 200') == 2 * len(STYLES)
    assert '"POST /v1/chat/completions HTTP/1.1" 404' not in log, "it was asked before it was loaded"

"""Adapters in service: what is live answers, a candidate is compared, tried, taken back, users unharmed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx

from app.main import create_app
from app.models import Experiment
from app.services.bundle import Services
from app.services.experiments import assign
from app.services.gates import Gate, GateReport
from tests.adapter_directories import write_adapter
from tests.api.conftest import settings_in
from tests.fake_vllm import BASE, FakeVLLM
from tests.servers import serving

PASSED = GateReport((Gate("offline", passed=True, figures={}),))
FAILED = GateReport((Gate("offline", passed=False, figures={}, reason="it is worse"),))


@asynccontextmanager
async def opened(folder: Path, fake: FakeVLLM) -> AsyncIterator[tuple[httpx.AsyncClient, Services]]:
    async with serving(fake) as url:
        settings = settings_in(
            folder,
            slm_impl="vllm",
            vllm_base_url=f"{url}/v1",
            vllm_model_name=BASE,
            adapters_dir=str(folder / "adapters"),
            train_in_service=False,
        )
        app = create_app(settings)
        async with app.router.lifespan_context(app):
            transport = httpx.ASGITransport(app, raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
                yield client, app.state.services


async def registered(services: Services, folder: Path, seed: int, report: GateReport = PASSED) -> str:
    source = folder / "adapters" / "trained" / "default" / f"run-{seed}"
    write_adapter(source, seed=seed, base_model_name_or_path=BASE)
    adapter = await services.promotion.register("default", source, "hypotheses", {})
    await services.promotion.gate("default", adapter.name, report)
    return adapter.name


async def live(services: Services, folder: Path, seed: int = 1) -> str:
    name = await registered(services, folder, seed)
    await services.promotion.promote("default", name)
    await services.reconciler.until_ready(name, 10)
    return name


async def ask(client: httpx.AsyncClient, user_id: str = "ada", **more: Any) -> dict[str, Any]:
    answer = await client.post("/v1/hypothesize", json={"user_id": user_id, "input_text": "build api"} | more)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


async def settled(services: Services, experiment: Experiment, count: int) -> list[Any]:
    """The outcomes, once so many were recorded in the background."""
    async with asyncio.timeout(10):
        while True:
            found = await services.store.outcomes("default", experiment.id)
            if len(found) >= count:
                return found
            await asyncio.sleep(0.01)


async def test_what_is_live_answers_and_the_judge_stays_with_the_base(tmp_path: Path) -> None:
    fake = FakeVLLM()
    async with opened(tmp_path, fake) as (client, services):
        name = await live(services, tmp_path)
        backend = (await ask(client))["backend"]
    assert (backend["adapter"], backend["arm"], backend["degraded"]) == (name, None, False)
    assert {body["model"] for body in fake.asked("/generative_scoring")} == {BASE}


async def test_a_rejected_adapter_reaches_nobody(tmp_path: Path) -> None:
    async with opened(tmp_path, FakeVLLM()) as (client, services):
        name = await registered(services, tmp_path, 1, FAILED)
        named = {"user_id": "ada", "input_text": "build api", "lora_name": name}
        refused = await client.post("/v1/hypothesize", json=named)
        backend = (await ask(client))["backend"]
    assert refused.status_code == 404
    assert backend["adapter"] is None


async def test_a_candidate_in_the_shadow_is_compared_and_not_shown(tmp_path: Path) -> None:
    fake = FakeVLLM()
    async with opened(tmp_path, fake) as (client, services):
        current = await live(services, tmp_path, 1)
        candidate = await registered(services, tmp_path, 2)
        experiment = await services.promotion.start_canary("default", candidate, 0.5)
        await services.reconciler.until_ready(candidate, 10)
        shown = [(await ask(client, f"user-{n}"))["backend"]["adapter"] for n in range(8)]
        outcomes = await settled(services, experiment, 2)
    assert set(shown) == {current}
    assert all(one.exposure.shadow["valid"] for one in outcomes)
    assert candidate in {body["model"] for body in fake.asked("/chat/completions")}


async def test_a_canary_answers_its_share_of_the_users_always_the_same_ones(tmp_path: Path) -> None:
    async with opened(tmp_path, FakeVLLM()) as (client, services):
        current = await live(services, tmp_path, 1)
        candidate = await registered(services, tmp_path, 2)
        experiment = await services.promotion.start_canary("default", candidate, 0.5)
        await services.reconciler.until_ready(candidate, 10)
        await on_to_the_users(services, experiment)
        users = [f"user-{n}" for n in range(6)]
        for _ in range(2):
            for user in users:
                backend = (await ask(client, user))["backend"]
                arm = assign(experiment.id, user, 0.5)
                assert backend["arm"] == arm
                assert backend["adapter"] == {"control": current, "candidate": candidate}[arm]
        outcomes = await settled(services, experiment, 12)
    assert {one.exposure.arm for one in outcomes} == {"control", "candidate"}


async def test_a_candidate_that_is_gone_from_the_server_leaves_its_users_to_the_control(
    tmp_path: Path,
) -> None:
    fake = FakeVLLM()
    async with opened(tmp_path, fake) as (client, services):
        current = await live(services, tmp_path, 1)
        candidate = await registered(services, tmp_path, 2)
        experiment = await services.promotion.start_canary("default", candidate, 0.5)
        await services.reconciler.until_ready(candidate, 10)
        await on_to_the_users(services, experiment)
        user = next(f"user-{n}" for n in range(99) if assign(experiment.id, f"user-{n}", 0.5) == "candidate")
        fake.adapters.pop(candidate)
        services.reconciler.missed(candidate)
        backend = (await ask(client, user))["backend"]
        (outcome,) = await settled(services, experiment, 1)
    assert (backend["adapter"], backend["degraded"], backend["reason"]) == (current, True, "unknown-adapter")
    assert outcome.exposure.degraded


async def test_who_names_an_adapter_is_in_no_experiment(tmp_path: Path) -> None:
    async with opened(tmp_path, FakeVLLM()) as (client, services):
        current = await live(services, tmp_path, 1)
        candidate = await registered(services, tmp_path, 2)
        experiment = await services.promotion.start_canary("default", candidate, 0.5)
        await services.reconciler.until_ready(candidate, 10)
        await on_to_the_users(services, experiment)
        backend = (await ask(client, lora_name=current))["backend"]
        assert (backend["adapter"], backend["arm"]) == (current, None)
        assert await services.store.outcomes("default", experiment.id) == []


async def on_to_the_users(services: Services, experiment: Experiment) -> None:
    """Past the shadow phase, as fifty good comparisons would take it."""
    now = datetime.now(UTC)
    await services.store.move_adapter(
        "default", experiment.candidate, "canary", allowed=["loaded"], at=now, reason="a test"
    )
    await services.store.begin_canary("default", experiment.id, now)

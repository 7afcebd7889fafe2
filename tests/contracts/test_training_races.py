"""Two workers on one database at once: one live adapter, one running job, one running experiment."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from app.errors import Conflict
from app.storage.migrate import downgrade, migrate
from app.storage.open import open_store
from app.storage.sql import SQLStore
from tests.nouns import a_job, an_adapter, an_experiment, at


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
async def workers(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[list[SQLStore]]:
    url = f"sqlite:///{tmp_path}/test.db" if request.param == "sqlite" else os.environ["TEST_POSTGRES_URL"]
    await migrate(url)
    opened = [open_store(url) for _ in range(2)]
    yield opened
    for store in opened:
        await store.aclose()
    await downgrade(url)


async def test_promotions_at_once_leave_one_live_adapter(workers: list[SQLStore]) -> None:
    names = [f"hypotheses-{n:012}" for n in range(10)]
    for name in names:
        await workers[0].add_adapter(an_adapter(name))
    await asyncio.gather(
        *(
            workers[n % 2].move_adapter("default", name, "live", allowed={"registered"}, at=at(n))
            for n, name in enumerate(names)
        )
    )
    states = sorted(adapter.state for adapter in await workers[0].list_adapters("default"))
    assert states == ["live", *["retired"] * 9]
    moves = [move for name in names for move in await workers[1].adapter_moves("default", name)]
    assert len(moves) == 19


async def test_an_erasure_among_promotions_leaves_nothing_live_that_knew_the_user(
    workers: list[SQLStore],
) -> None:
    names = [f"hypotheses-{n:012}" for n in range(6)]
    for name in names:
        await workers[0].add_adapter(an_adapter(name), ["ann"])
    moves = (
        workers[n % 2].move_adapter("default", name, "live", allowed={"registered"}, at=at(n))
        for n, name in enumerate(names)
    )
    *_, erased = await asyncio.gather(*moves, workers[1].erase_user("default", "ann"), return_exceptions=True)
    assert erased == {"adapter_users": 6, "adapters_tainted": 6}
    assert {adapter.state for adapter in await workers[0].list_adapters("default")} == {"tainted"}


async def test_a_job_is_claimed_once(workers: list[SQLStore]) -> None:
    for n in range(3):
        await workers[0].add_job(a_job(f"j{n}", created_at=at(n)))
    claims = await asyncio.gather(*(workers[n % 2].claim_job(f"w{n}", at(9), 30.0) for n in range(8)))
    assert [job.id for job in claims if job is not None] == ["j0"]
    page, _ = await workers[1].list_jobs("default", 9, None)
    assert sorted(job.status for job in page) == ["queued", "queued", "running"]


async def test_one_experiment_is_begun_and_one_verdict_given(workers: list[SQLStore]) -> None:
    begun = await asyncio.gather(
        *(workers[n % 2].add_experiment(an_experiment(f"x{n}")) for n in range(6)), return_exceptions=True
    )
    assert [type(one) for one in begun if one is not None] == [Conflict] * 5
    (running,) = await workers[0].list_experiments("default")
    ends = await asyncio.gather(
        *(workers[n % 2].end_experiment("default", running.id, "stopped", str(n), at(n)) for n in range(6))
    )
    assert sum(first for _, first in ends) == 1
    assert len({experiment.reason for experiment, _ in ends}) == 1

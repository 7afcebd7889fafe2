"""Jobs for tests: a runner over a real database, whose recipe is tests/fake_recipe.py."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from app.models import TrainingJob
from app.services.training.endings import HandedOver
from app.services.training.lease import Terms
from app.services.training.orders import Order
from app.services.training.runner import Interpreter, JobRunner, new_owner
from app.storage.base import Jobs
from app.storage.migrate import migrate
from app.storage.open import open_store
from app.storage.sql import SQLStore
from tests.fake_recipe import interpreter

TERMS = Terms("", lease_seconds=60, beat_seconds=0.05, grace_seconds=0.5)


async def store_in(folder: Path) -> SQLStore:
    url = f"sqlite:///{folder}/jobs.db"
    await migrate(url)
    return open_store(url)


def render(job: TrainingJob, config: Mapping[str, Any], directory: Path) -> Path:
    script = directory / "train.py"
    script.write_text("# the fake interpreter reads only what lies beside it\n")
    script.with_suffix(".json").write_text(json.dumps(config))
    return script


async def keep_nothing(job: TrainingJob, trained: Path) -> HandedOver:
    return HandedOver()


def a_runner(jobs: Jobs, folder: Path, **changes: Any) -> JobRunner:
    given: dict[str, Any] = {
        "directory": folder / "jobs",
        "interpreter": Interpreter(interpreter(folder), {"PATH": os.environ["PATH"]}),
        "render": render,
        "finish": keep_nothing,
        "terms": replace(TERMS, owner=new_owner()),
        "poll_seconds": 0.05,
    }
    return JobRunner(jobs, **(given | changes))


def an_order(folder: Path, behaviour: str = "finish", **changes: Any) -> Order:
    dataset = folder / "hypotheses.jsonl"
    dataset.write_text('{"prompt": "a", "completion": "b"}\n')
    given: dict[str, Any] = {
        "tenant": "default",
        "task": "hypotheses",
        "recipe": "sft",
        "dataset": dataset,
        "model": f"fake/{behaviour}",
    }
    return Order(**(given | changes))


async def eventually(holds: Callable[[], Awaitable[bool]]) -> None:
    """Wait for another process; a test that waits in vain fails after a minute."""
    async with asyncio.timeout(60):
        while not await holds():  # noqa: ASYNC110 - another process tells nobody of what it did
            await asyncio.sleep(0.02)


async def _run_one(folder: Path) -> None:
    store = await store_in(folder)
    await a_runner(store, folder, now=lambda: datetime.now(UTC)).run_next()
    await store.aclose()


if __name__ == "__main__":
    asyncio.run(_run_one(Path(sys.argv[1])))

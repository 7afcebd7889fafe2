"""The whole service under HTTP load, as something to be killed."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sqlite3
import sys
from asyncio.subprocess import DEVNULL, Process
from collections import Counter
from pathlib import Path
from typing import Any

import httpx

from tests.e2e.training_files import TrainingFiles

_CLIENTS = 4
_TABLES = {
    "interactions": "id",
    "selections": "request_id",
    "choices": "id",
    "feedback": "id",
    "memories": "id",
}
_TASKS = ["build api", "Plan a trip to Oslo.", "Find me a recipe.", "Write a poem."]


class ServiceVictim:
    """uvicorn over one directory. A 200 acknowledges the rows that its answer names."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._process: Process | None = None
        self._load: list[asyncio.Task[None]] = []
        self._acknowledged: list[tuple[str, str]] = []
        self._works = asyncio.Event()
        self._files = TrainingFiles(directory / "training")
        self._life = 0

    async def start(self) -> None:
        self._life += 1
        self._acknowledged, self._works = [], asyncio.Event()
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        environment = os.environ | {
            "DATABASE_URL": f"sqlite:///{self.directory}/victim.db",
            "TRAINING_DATA_DIR": str(self.directory / "training"),
            "ENABLE_TRAINING_DATA_COLLECTION": "true",
            "SLM_IMPL": "local",
        }
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "uvicorn", "--factory", "app.main:create_app"),
            *("--port", str(port), "--log-level", "critical"),
            env=environment,
            stdout=DEVNULL,
            stderr=DEVNULL,
        )
        self._load = [asyncio.create_task(self._visit(port, number)) for number in range(_CLIENTS)]

    async def working(self) -> None:
        async with asyncio.timeout(60):
            await self._works.wait()

    async def kill(self) -> None:
        assert self._process is not None
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        assert await self._process.wait() == -signal.SIGKILL
        await asyncio.gather(*self._load)

    async def check(self) -> Counter[str]:
        found: Counter[str] = Counter(acknowledged=len(self._acknowledged))
        missing = await asyncio.to_thread(self._missing)
        found["lost from the database"] = missing
        return found + await self._files.check()

    def _missing(self) -> int:
        with contextlib.closing(sqlite3.connect(self.directory / "victim.db")) as database:
            held = {
                table: {row[0] for row in database.execute(f"SELECT {key} FROM {table}")}
                for table, key in _TABLES.items()
                if self._acknowledged
            }
        return sum(key not in held[table] for table, key in self._acknowledged)

    async def _visit(self, port: int, number: int) -> None:
        """Ask, pick, choose, judge and remember until nobody answers any more."""
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
            while self._process is not None and self._process.returncode is None:
                try:
                    await self._one_visit(client, f"life{self._life}-{number}")
                except httpx.TransportError:
                    await asyncio.sleep(0.05)

    async def _one_visit(self, client: httpx.AsyncClient, user: str) -> None:
        shown = await self._post(client, "/v1/hypothesize", user_id=user, input_text=_TASKS[self._life % 4])
        self._keep("interactions", shown["request_id"])
        first = shown["hypotheses"][0]["id"] if shown["hypotheses"] else None
        picked = {"request_id": shown["request_id"], "hypothesis_id": first, "free_text": "as you like"}
        await self._post(client, "/v1/selections", **picked)
        self._keep("selections", shown["request_id"])
        chosen = {
            "user_id": user,
            "input_text": "Tea?",
            "options": ["green tea", "black tea"],
            "selected": "green tea",
        }
        self._keep("choices", (await self._post(client, "/v1/choices", **chosen))["id"])
        judged = {"user_id": user, "request_id": shown["request_id"], "rating": 1.0}
        self._keep("feedback", (await self._post(client, "/v1/feedback", **judged))["id"])
        told = {"user_id": user, "items": [{"text": "I like tea"}, {"text": "I live in Oslo"}]}
        for item in (await self._post(client, "/v1/memories", **told))["items"]:
            self._keep("memories", item["id"])

    async def _post(self, client: httpx.AsyncClient, path: str, **body: Any) -> dict[str, Any]:
        answer = await client.post(path, json=body)
        answer.raise_for_status()
        found: dict[str, Any] = answer.json()
        return found

    def _keep(self, table: str, key: str) -> None:
        self._acknowledged.append((table, key))
        self._works.set()

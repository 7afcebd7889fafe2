"""The store and the collector in a process of their own, as something to be killed."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import signal
import sqlite3
import sys
from asyncio.subprocess import PIPE, Process
from collections import Counter
from pathlib import Path

from app.storage.migrate import migrate
from app.storage.open import open_store
from tests.e2e.training_files import TrainingFiles


class StoreVictim:
    """tests.e2e.crash_worker over one directory; what it prints after a commit is acknowledged."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.url = f"sqlite:///{directory}/victim.db"
        self._lives = itertools.count(1)
        self._tenant = ""
        self._process: Process | None = None
        self._listening: asyncio.Task[None] | None = None
        self._acknowledged: list[str] = []
        self._works = asyncio.Event()
        self._files = TrainingFiles(directory / "training")

    async def start(self) -> None:
        self._tenant, self._acknowledged = f"life{next(self._lives)}", []
        self._works.clear()
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.e2e.crash_worker", str(self.directory), self._tenant, stdout=PIPE
        )
        self._listening = asyncio.create_task(self._listen(self._process))

    async def working(self) -> None:
        async with asyncio.timeout(60):
            await self._works.wait()

    async def kill(self) -> None:
        assert self._process is not None
        assert self._listening is not None
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        await self._listening
        assert await self._process.wait() == -signal.SIGKILL

    async def check(self) -> Counter[str]:
        found: Counter[str] = Counter(acknowledged=len(self._acknowledged))
        await migrate(self.url)
        held = await self._held()
        found["lost from the database"] = len(set(self._acknowledged) - held)
        found["broken database"] = self._broken()
        return found + await self._files.check()

    async def _listen(self, process: Process) -> None:
        assert process.stdout is not None
        async for line in process.stdout:
            if line.endswith(b"\n"):
                self._acknowledged.append(line.decode().strip())
                self._works.set()

    async def _held(self) -> set[str]:
        """The ids of this life's interactions whose selection is there too, of memories and feedback."""
        store = open_store(self.url)
        rounds = await store.iterate_interactions(self._tenant)
        memories = (await store.load_memories(self._tenant, "ann")).memories
        feedback = await store.list_feedback(self._tenant, "ann")
        await store.aclose()
        picked = {interaction.id for interaction, selection in rounds if selection is not None}
        return picked | {memory.id for memory in memories} | {item.id for item in feedback}

    def _broken(self) -> int:
        with contextlib.closing(sqlite3.connect(self.directory / "victim.db")) as connection:
            return int(connection.execute("PRAGMA quick_check").fetchone()[0] != "ok")

"""The conductor of what a training run leaves: registered, examined, and on trial if it passes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Literal

from app.errors import Conflict, NotSupported, ServiceError
from app.models import Adapter, AdapterState, TrainingJob
from app.services.background import Background
from app.services.exam import Examiner
from app.services.promotion import EXAMINED, Promotion
from app.services.training.datasets import Task
from app.services.training.desk import TrainingDesk
from app.services.training.endings import HandedOver, one_line
from app.services.training.lineage import lineage_of
from app.services.training.unseen import learned_from, unseen
from app.storage.base import Adapters

log = logging.getLogger(__name__)

Then = Literal["register", "gate", "canary"]
"""How far a trained adapter goes by itself."""
_HELD_OUT: tuple[Task, ...] = ("hypotheses", "preferences")
_LIVE: frozenset[AdapterState] = frozenset({"live"})
_IN_TURN = ("", "examinations")
_LONGEST_REASON = 150


class Candidates:
    """Nothing reaches a user but through the gates, or by the hand of an admin."""

    def __init__(
        self,
        store: Adapters,
        promotion: Promotion,
        desk: TrainingDesk,
        examiner: Examiner | None,
        *,
        then: Then = "canary",
        background: Background | None = None,
    ) -> None:
        """`examiner` is None where no server can load adapters; `background` runs what nobody waits for."""
        self._store, self._promotion, self._desk = store, promotion, desk
        self._examiner, self._then = examiner, then
        self._background, self._begun = background or Background(), set[str]()
        self._alone = asyncio.Lock()

    async def finish(self, job: TrainingJob, trained: Path) -> HandedOver:
        """Register what a job left and send it on its way; no name for a merged model.

        Once registered it keeps its name, whatever fails after that. Raises what register does.
        """
        if job.config.get("save") == "merged":
            return HandedOver()
        lineage = lineage_of(job)
        adapter = await self._promotion.register(job.tenant, trained, job.task, lineage.told, lineage.users)
        try:
            lineage_of(job)
        except Conflict as error:
            # The erasure came between the first look and the row, which it has not seen.
            await self._promotion.taint(job.tenant, adapter.name, error.detail)
            raise
        if self._then == "register" or self._examiner is None or adapter.state != "registered":
            return HandedOver(adapter.name)
        return HandedOver(adapter.name, await self._send_on(job.tenant, adapter.name))

    async def _send_on(self, tenant: str, name: str) -> str:
        """Examined and put on trial, or why not. Where another trial runs it waits, gated."""
        try:
            judged = await self.examine(tenant, name)
        except (ServiceError, OSError) as error:
            why = await self._unexamined(tenant, name, error)
            return f"registered as {name}, {why}; POST /v1/adapters/{name}/examine"
        if self._then == "canary" and judged.state == "gated":
            try:
                await self._promotion.start_canary(tenant, name)
            except Conflict as error:
                log.warning("%s waits, gated: %s", name, error.detail)
        return ""

    async def examine(self, tenant: str, name: str) -> Adapter:
        """Judge it on the tenant's held-out records and on a server: gated or rejected, figures kept.

        One at a time. Raises NotFound, NotSupported without a server, Conflict for one that is past the
        gates, TrainingFailed, BackendError, InvalidInput.
        """
        examiner, candidate = await self._examinable(tenant, name)
        async with self._alone:
            found = await self._store.list_adapters(tenant, candidate.task, _LIVE)
            live = found[0] if found else None
            async with self._held_out(tenant, [candidate, *found]) as files:
                report = await examiner.examine(candidate, live, files)
        return await self._promotion.gate(tenant, name, report)

    async def begin(self, tenant: str, name: str) -> Adapter:
        """The same in the background; the adapter as it stands. If it fails, its history says why."""
        _, candidate = await self._examinable(tenant, name)
        if name in self._begun:
            raise Conflict(f"{name} is being examined")
        self._begun.add(name)
        await self._background.submit(_IN_TURN, self._examine_unwatched(tenant, name))
        return candidate

    async def _examine_unwatched(self, tenant: str, name: str) -> None:
        try:
            await self.examine(tenant, name)
        except (ServiceError, OSError) as error:
            await self._unexamined(tenant, name, error)
        finally:
            self._begun.discard(name)

    async def _examinable(self, tenant: str, name: str) -> tuple[Examiner, Adapter]:
        if self._examiner is None:
            raise NotSupported("adapters are examined on a vLLM: set SLM_IMPL=vllm")
        candidate = (await self._promotion.track(tenant, name)).adapter
        if candidate.state not in EXAMINED:
            raise Conflict(f"{name} is {candidate.state}: only {', '.join(sorted(EXAMINED))} are examined")
        return self._examiner, candidate

    async def _unexamined(self, tenant: str, name: str, error: Exception) -> str:
        why = f"not examined: {one_line(error)[:_LONGEST_REASON]}"
        log.warning("%s is %s", name, why)
        try:
            await self._promotion.unexamined(tenant, name, why)
        except ServiceError as late:
            log.warning("%s: its history does not say so: %s", name, late.detail)
        return why

    @asynccontextmanager
    async def _held_out(self, tenant: str, models: Sequence[Adapter]) -> AsyncIterator[Sequence[Path]]:
        """The tenant's held-out rows as they are now, without what these were trained on."""
        prepared = await self._desk.prepare(tenant, _HELD_OUT)
        files = [one.path.with_name(f"{one.path.stem}.eval.jsonl") for one in prepared]
        shelf = prepared[0].path.parent.parent
        named = {model.lineage.get("dataset") for model in models}
        learned = await asyncio.to_thread(
            lambda: learned_from(place for place in shelf.iterdir() if place.name in named)
        )
        with self._desk.scratch.place("unseen") as scratch:
            yield await asyncio.to_thread(unseen, files, learned, scratch)

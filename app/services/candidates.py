"""The conductor of what a training run leaves: registered, examined, and on trial if it passes."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from app.errors import Conflict, NotSupported
from app.models import Adapter, AdapterState, TrainingJob
from app.services.exam import Examiner
from app.services.promotion import Promotion
from app.services.training.datasets import Task
from app.services.training.desk import TrainingDesk
from app.services.training.lineage import lineage_of
from app.storage.base import Adapters

log = logging.getLogger(__name__)

Then = Literal["register", "gate", "canary"]
"""How far a trained adapter goes by itself."""
_HELD_OUT: tuple[Task, ...] = ("hypotheses", "preferences")
_LIVE: frozenset[AdapterState] = frozenset({"live"})


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
    ) -> None:
        """`examiner` is None where no server can load adapters."""
        self._store, self._promotion, self._desk = store, promotion, desk
        self._examiner, self._then = examiner, then

    async def finish(self, job: TrainingJob, trained: Path) -> str | None:
        """Register what a job left and send it on its way; its name, None for a merged model.

        A trial that cannot begin now, because another runs, leaves it gated.
        """
        if job.config.get("save") == "merged":
            return None
        lineage = lineage_of(job)
        adapter = await self._promotion.register(job.tenant, trained, job.task, lineage.told, lineage.users)
        try:
            lineage_of(job)
        except Conflict as error:
            # The erasure came between the first look and the row, which it has not seen.
            await self._promotion.taint(job.tenant, adapter.name, error.detail)
            raise
        if self._then == "register" or self._examiner is None or adapter.state != "registered":
            return adapter.name
        judged = await self.examine(job.tenant, adapter.name)
        if self._then == "canary" and judged.state == "gated":
            try:
                await self._promotion.start_canary(job.tenant, adapter.name)
            except Conflict as error:
                log.warning("%s waits, gated: %s", adapter.name, error.detail)
        return adapter.name

    async def examine(self, tenant: str, name: str) -> Adapter:
        """Judge it on the tenant's held-out records and on a server: gated or rejected, figures kept.

        Raises NotFound, NotSupported without a server, TrainingFailed, BackendError, InvalidInput.
        """
        if self._examiner is None:
            raise NotSupported("adapters are examined on a vLLM: set SLM_IMPL=vllm")
        candidate = (await self._promotion.track(tenant, name)).adapter
        live = await self._store.list_adapters(tenant, candidate.task, _LIVE)
        report = await self._examiner.examine(
            candidate, live[0] if live else None, await self._held_out(tenant)
        )
        return await self._promotion.gate(tenant, name, report)

    async def _held_out(self, tenant: str) -> Sequence[Path]:
        """What no training run of this tenant has read: the split is by user and by time."""
        prepared = await self._desk.prepare(tenant, _HELD_OUT)
        return [one.path.with_name(f"{one.path.stem}.eval.jsonl") for one in prepared]

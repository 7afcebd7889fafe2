"""What the service stands on, as it answers now."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from app.clients.embedding.base import Embedder
from app.clients.slm.base import AdapterHost, SLMClient
from app.errors import BackendError, StorageError
from app.services.playbook import Playbook
from app.services.reconciler import Reconciler
from app.services.training import TrainingDataCollector
from app.storage.base import Store


class Dependencies:
    """Asks each of them, all at once, and reports what it heard."""

    def __init__(
        self,
        store: Store,
        embedder: Embedder,
        playbook: Playbook,
        collector: TrainingDataCollector,
        slm: SLMClient,
        replicas: Sequence[AdapterHost] = (),
        reconciler: Reconciler | None = None,
    ) -> None:
        """`embedder` without its cache: a remembered vector says nothing of a server."""
        self._store, self._embedder, self._playbook = store, embedder, playbook
        self._collector, self._slm, self._replicas = collector, slm, replicas
        self._reconciler = reconciler

    async def report(self) -> dict[str, Any]:
        """Each with `ok`, and in `detail` why not. What is away is reported, not raised."""
        database, embedder, backend, training, *replicas = await asyncio.gather(
            self._database(),
            self._embedding(),
            self._backend(),
            self._collector.stats(),
            *(self._replica(replica) for replica in self._replicas),
        )
        return {
            "database": database,
            "embedder": embedder,
            "playbook": {"entries": len(self._playbook), "embedded": self._playbook.embedded},
            "backend": backend,
            "replicas": replicas,
            "training_data": training,
        }

    async def _database(self) -> dict[str, Any]:
        try:
            await self._store.ping()
        except StorageError as error:
            return {"ok": False, "detail": error.detail}
        return {"ok": True, "detail": ""}

    async def _embedding(self) -> dict[str, Any]:
        try:
            await self._embedder.embed(["Does it answer?"])
        except BackendError as error:
            return {"name": self._embedder.name, "ok": False, "detail": error.detail}
        return {"name": self._embedder.name, "ok": True, "detail": ""}

    async def _backend(self) -> dict[str, Any]:
        return {"name": self._slm.name, **asdict(await self._slm.ping())}

    async def _replica(self, replica: AdapterHost) -> dict[str, Any]:
        health = asdict(await replica.ping())
        del health["model"]
        kept = self._reconciler.report() if self._reconciler else []
        standings = [one["adapters"] for one in kept if one["url"] == replica.url]
        return {"url": replica.url, **health, "reconciled": standings[0] if standings else []}

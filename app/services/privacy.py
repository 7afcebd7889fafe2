"""Export and erasure of a person: the conductor over everything that holds rows about them."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from typing import Any, Protocol

from app.services.background import Background
from app.services.learned import LearnedStates
from app.services.ranking import RankingService
from app.services.training import ModelTrainer, TrainingDataCollector
from app.services.training.redact import alias
from app.storage.base import Adapters, Users


class People(Users, Adapters, Protocol):
    """Of the store, what this conductor reads and erases."""


class Privacy:
    """Takes along, or erases, what is held about a user of a tenant."""

    def __init__(
        self,
        store: People,
        collector: TrainingDataCollector,
        trainer: ModelTrainer,
        ranking: RankingService,
        background: Background,
        learned: LearnedStates,
    ) -> None:
        self._store, self._ranking = store, ranking
        self._collector, self._trainer = collector, trainer
        self._background, self._learned = background, learned

    async def export(self, tenant: str, user_id: str) -> dict[str, Any]:
        """Every row about the user, by table."""
        await self._background.settle((tenant, user_id), 5.0)
        return {
            "user_id": user_id,
            "exported_at": datetime.now(UTC),
            "tables": await self._store.export_user(tenant, user_id),
        }

    async def erase(self, tenant: str, user_id: str) -> dict[str, Any]:
        """Delete it; the receipt counts rows by table, lines by training file and rows by dataset, no
        zeros; it names the adapters that were trained on it, which are used no more.

        It takes its turn among what is still being learned of the user, so that nothing comes after it.
        """
        return await self._background.in_turn((tenant, user_id), self._erase(tenant, user_id))

    async def _erase(self, tenant: str, user_id: str) -> dict[str, Any]:
        trained = await self._store.adapters_trained_on(tenant, alias(user_id))
        rows = await self._store.erase_user(tenant, user_id)
        self._learned.touched(tenant)
        lines = await self._collector.erase(tenant, user_id)
        datasets = await self._trainer.erase(tenant, user_id)
        # Once more: an adapter may have been registered from a dataset that held the user until now.
        trained += await self._store.adapters_trained_on(tenant, alias(user_id))
        late = await self._store.erase_user(tenant, user_id)
        self._ranking.forget(tenant, user_id)
        return {
            "user_id": user_id,
            "erased_at": datetime.now(UTC),
            "rows": dict(Counter(rows) + Counter(late)),
            "training_files": {name: count for name, count in lines.items() if count},
            "datasets": datasets,
            "adapters": sorted({adapter.name for adapter in trained if adapter.state != "tainted"}),
        }

"""From the store to the files, so that nobody who is erased meanwhile is written back."""

from __future__ import annotations

from pathlib import Path

from app.services.training.collector import TrainingDataCollector
from app.services.training.history import read_history
from app.storage.base import Store


async def export(
    store: Store, collector: TrainingDataCollector, directory: Path, tenant: str | None = None
) -> dict[str, int]:
    """Write the four files; lines by file. Of one tenant, whose lines are replaced; of all where None.

    Done over again where a user was erased since the store was read. Whoever is erased after it is looked
    for in the collector's files, and found there. Raises OSError, StorageError.
    """
    while True:
        users = await store.list_users(tenant)
        epochs = await _epochs(store, {of for of, _ in users})
        written = await collector.export(await read_history(store, tenant), directory, tenant)
        gone = set(users).difference(await store.list_users(tenant))
        if not gone and await _epochs(store, set(epochs)) == epochs:
            return written


async def _epochs(store: Store, tenants: set[str]) -> dict[str, int]:
    """They begin anew at an erasure, unless nothing was learned of the user."""
    return {tenant: (await store.learning_head(tenant)).epoch for tenant in tenants}

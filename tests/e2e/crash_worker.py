"""Writes to the store and the collector as fast as it can, and says what is committed. To be killed.

python -m tests.e2e.crash_worker DIRECTORY TENANT
"""

from __future__ import annotations

import asyncio
import os
import random
import sys
from datetime import UTC, datetime
from pathlib import Path

from app.services.training import TrainingDataCollector
from app.storage.migrate import migrate
from app.storage.open import open_store
from app.storage.sql import SQLStore
from tests.nouns import a_feedback, a_memory, a_selection, an_interaction, unit_vectors


def acknowledge(*ids: str) -> None:
    """One write to the pipe: it arrives whole or not at all."""
    os.write(sys.stdout.fileno(), "".join(f"{id_}\n" for id_ in ids).encode())


async def ask(store: SQLStore, collector: TrainingDataCollector, tenant: str, lane: str) -> None:
    """Requests with prompts long enough that a killed write leaves a torn line."""
    for number in range(1_000_000):
        id_ = f"{lane}-{number}"
        prompt = "word " * random.choice([10, 10, 10, 1_000, 20_000])
        interaction = an_interaction(
            id_,
            tenant=tenant,
            created_at=datetime.now(UTC),
            record={"messages": [{"role": "user", "content": prompt}], "candidates": []},
        )
        selection = a_selection(id_, tenant=tenant)
        await store.add_interaction(interaction)
        collector.record_interaction(interaction)
        await store.add_selection(selection)
        acknowledge(id_)
        collector.record_selection(interaction, selection)


async def tell(store: SQLStore, collector: TrainingDataCollector, tenant: str) -> None:
    for number in range(1_000_000):
        memories = [a_memory(f"m{number}-{part}", external_id=f"{number}-{part}") for part in range(20)]
        ids = await store.put_memories(tenant, "ann", memories, unit_vectors(20), "static")
        acknowledge(*ids)
        feedback = a_feedback(f"b{number}", tenant=tenant)
        await store.add_feedback(feedback)
        acknowledge(feedback.id)
        collector.record_feedback(feedback)


async def main(directory: Path, tenant: str) -> None:
    url = f"sqlite:///{directory}/victim.db"
    await migrate(url)
    store = open_store(url)
    async with TrainingDataCollector(directory / "training", flush_seconds=0.001) as collector:
        lanes = (ask(store, collector, tenant, f"r{lane}") for lane in range(3))
        await asyncio.gather(*lanes, tell(store, collector, tenant))


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))

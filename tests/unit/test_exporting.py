"""From the store to the files: one tenant's lines alone, and nobody who was erased meanwhile."""

from __future__ import annotations

from pathlib import Path

from app.models import Feedback
from app.services.training import TrainingDataCollector
from app.services.training.exporting import export
from tests.fakes import MemoryStore
from tests.nouns import a_selection, an_interaction


class Erasing(MemoryStore):
    """Erases bob once his requests were read, as another request would."""

    reads = 0

    async def list_feedback(self, tenant: str, user_id: str) -> list[Feedback]:
        self.reads += 1
        if self.reads == 1:
            await self.erase_user("one", "bob")
        return await super().list_feedback(tenant, user_id)


async def fill(store: MemoryStore, *, picks: bool) -> None:
    for number, (tenant, user) in enumerate([("one", "ann"), ("one", "bob"), ("two", "eve")]):
        asked = an_interaction(f"r{number}", tenant=tenant, user_id=user, input_text=f"words of {user}")
        await store.add_interaction(asked)
        if picks:
            await store.add_selection(a_selection(f"r{number}", tenant=tenant, user_id=user))


def written(directory: Path) -> str:
    return "".join(path.read_text() for path in sorted(directory.glob("*.jsonl")))


async def test_nobody_erased_while_the_store_is_read_is_written_back(tmp_path: Path) -> None:
    for picks in (True, False):
        store, directory = Erasing(), tmp_path / str(picks)
        await fill(store, picks=picks)
        await export(store, TrainingDataCollector(directory, enabled=False), directory, "one")
        assert "words of ann" in written(directory)
        assert "words of bob" not in written(directory)


async def test_who_asks_has_their_own_lines_written_and_leaves_the_others(tmp_path: Path) -> None:
    store, collector = MemoryStore(), TrainingDataCollector(tmp_path, enabled=False)
    await fill(store, picks=True)
    first = await export(store, collector, tmp_path, "one")
    assert "words of eve" not in written(tmp_path)
    await export(store, collector, tmp_path, "two")
    both = written(tmp_path)
    assert all(f"words of {user}" in both for user in ("ann", "bob", "eve"))
    again = await export(store, collector, tmp_path, "one")
    assert sorted(written(tmp_path)) == sorted(both)
    assert sum(again.values()) > sum(first.values())
    await export(store, collector, tmp_path)
    assert sorted(written(tmp_path)) == sorted(both)

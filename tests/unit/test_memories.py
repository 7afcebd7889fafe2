"""Memories: stored all or nothing, in order, under ids that tell the order."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from app.clients.embedding.base import Vectors
from app.clients.embedding.static import StaticEmbedder
from app.errors import BackendUnavailable, NotFound, StorageError
from app.services.memories import MemoryService, NewMemory
from app.services.ranking import RankingService
from tests.fakes import MemoryStore


class DownEmbedder(StaticEmbedder):
    async def embed(self, texts: Sequence[str]) -> Vectors:
        raise BackendUnavailable


@pytest.fixture(scope="module")
def embedder() -> StaticEmbedder:
    return StaticEmbedder()


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


async def test_items_are_embedded_stored_and_listed_in_their_order(
    store: MemoryStore, embedder: StaticEmbedder
) -> None:
    service = MemoryService(store, embedder)
    texts = [f"note {number}" for number in range(30)]
    ids = await service.add("default", "ada", [NewMemory(text) for text in texts])
    ids += await service.add("default", "ada", [NewMemory("the last")])
    assert ids == sorted(set(ids))
    page, cursor = await service.list("default", "ada", 31)
    assert [memory.id for memory in page] == ids
    assert cursor is None
    held = await store.load_memories("default", "ada")
    assert held.embedder == embedder.name
    np.testing.assert_array_equal(held.vectors[:30], await embedder.embed(texts))


async def test_nothing_to_add_is_nothing_added(store: MemoryStore, embedder: StaticEmbedder) -> None:
    assert await MemoryService(store, embedder).add("default", "ada", []) == []
    assert (await store.profile("default", "ada")).memory_version == 0


async def test_a_known_external_id_is_replaced_and_keeps_its_id(
    store: MemoryStore, embedder: StaticEmbedder
) -> None:
    service = MemoryService(store, embedder)
    (first,) = await service.add("default", "ada", [NewMemory("old", external_id="x")])
    again = await service.add(
        "default", "ada", [NewMemory("newer", external_id="x"), NewMemory("newest", external_id="x")]
    )
    assert again == [first, first]
    page, _ = await service.list("default", "ada", 10)
    assert [memory.text for memory in page] == ["newest"]


async def test_a_failure_stores_nothing(store: MemoryStore, embedder: StaticEmbedder) -> None:
    with pytest.raises(BackendUnavailable):
        await MemoryService(store, DownEmbedder()).add("default", "ada", [NewMemory("a"), NewMemory("b")])
    store.broken = True
    with pytest.raises(StorageError):
        await MemoryService(store, embedder).add("default", "ada", [NewMemory("a")])
    store.broken = False
    assert await MemoryService(store, embedder).list("default", "ada", 10) == ([], None)


async def test_deleting_is_the_tenant_s_own_and_says_what_it_did_not_find(
    store: MemoryStore, embedder: StaticEmbedder
) -> None:
    service = MemoryService(store, embedder)
    (kept,) = await service.add("default", "ada", [NewMemory("mine")])
    with pytest.raises(NotFound, match=kept):
        await service.delete("other", kept)
    await service.delete("default", kept)
    with pytest.raises(NotFound):
        await service.delete("default", kept)


async def test_ten_thousand_memories_of_one_user_are_searched_exactly(
    store: MemoryStore, embedder: StaticEmbedder
) -> None:
    service = MemoryService(store, embedder)
    items = [NewMemory(f"note {number} about item {number}") for number in range(10_000)]
    await service.add("default", "ada", items)
    ranking = await RankingService(store, embedder).rank_memories("ada", "item 7777", top_k=3)
    assert ranking.results[0].memory.text == items[7777].text

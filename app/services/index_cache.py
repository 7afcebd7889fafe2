"""The search indexes of the users seen last, each valid for one version of their memories."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from typing import Protocol
from weakref import WeakValueDictionary

from app.clients.embedding.base import Embedder, Vectors
from app.errors import BackendError
from app.services.memory_index import MemoryIndex
from app.storage.base import Memories, MemorySet, Personas

Key = tuple[str, str]


class MemoryStore(Memories, Personas, Protocol):
    """Memories, and the profile that tells their version without loading them."""


class IndexCache:
    """Least recently used goes first, once more than `max_memories` memories are held in all."""

    def __init__(self, store: MemoryStore, embedder: Embedder, max_memories: int) -> None:
        self._store, self._embedder, self._max_memories = store, embedder, max_memories
        self._held: OrderedDict[Key, tuple[int, MemoryIndex]] = OrderedDict()
        self._building: WeakValueDictionary[Key, asyncio.Lock] = WeakValueDictionary()

    async def get(self, tenant: str, user_id: str, version: int | None = None) -> MemoryIndex:
        """The index of the memories at `version` or later; None: as they stand now.

        An index whose vectors cannot be had knows words only, and is not kept.
        """
        if version is None:
            version = (await self._store.profile(tenant, user_id)).memory_version
        key = (tenant, user_id)
        if version == 0:
            self._held.pop(key, None)
            return MemoryIndex((), None)
        async with self._building.setdefault(key, asyncio.Lock()):  # two searches, one index
            index = self._current(key, version)
            return await self._build(key) if index is None else index

    def forget(self, tenant: str, user_id: str) -> None:
        """Drop what is held of this user."""
        self._held.pop((tenant, user_id), None)

    def _current(self, key: Key, version: int) -> MemoryIndex | None:
        held = self._held.get(key)
        if held is None or held[0] < version:
            return None
        self._held.move_to_end(key)
        return held[1]

    async def _build(self, key: Key) -> MemoryIndex:
        loaded = await self._store.load_memories(*key)
        vectors = await self._vectors(loaded)
        index = await asyncio.to_thread(MemoryIndex, loaded.memories, vectors)
        if vectors is not None:
            self._keep(key, loaded.version, index)
        return index

    def _keep(self, key: Key, version: int, index: MemoryIndex) -> None:
        self._held[key] = (version, index)
        self._held.move_to_end(key)
        while (
            len(self._held) > 1 and sum(len(index) for _, index in self._held.values()) > self._max_memories
        ):
            self._held.popitem(last=False)

    async def _vectors(self, loaded: MemorySet) -> Vectors | None:
        """The stored vectors, or new ones where another embedder made those; None where it fails."""
        if loaded.embedder == self._embedder.name and loaded.vectors.shape[1]:
            return loaded.vectors
        try:
            return await self._embedder.embed([memory.text for memory in loaded.memories])
        except BackendError:
            return None

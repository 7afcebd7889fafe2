"""What callers ask to be remembered: add, list, delete."""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from app.clients.embedding.base import Embedder
from app.errors import NotFound
from app.models import Memory
from app.storage.base import Memories


@dataclass(frozen=True, slots=True)
class NewMemory:
    """A memory as the caller sends it."""

    text: str
    external_id: str | None = None
    thread: str | None = None
    position: int | None = None
    kind: str = "note"
    importance: float = 0.5
    """0..1; 0.5 neither lifts nor lowers."""
    created_at: datetime | None = None
    """None: now."""
    metadata: Mapping[str, Any] = field(default_factory=dict)


class MemoryService:
    def __init__(self, store: Memories, embedder: Embedder) -> None:
        self._store, self._embedder = store, embedder

    async def add(self, tenant: str, user_id: str, items: Sequence[NewMemory]) -> list[str]:
        """Embed and store all or nothing; the ids, in the items' order.

        A known external_id keeps its id and is replaced; of two items with one external_id the
        later stands. Raises BackendError, StorageError.
        """
        if not items:
            return []
        memories = _numbered(items)
        vectors = await self._embedder.embed([memory.text for memory in memories])
        return await self._store.put_memories(tenant, user_id, memories, vectors, self._embedder.name)

    async def list(
        self, tenant: str, user_id: str, limit: int, cursor: str | None = None
    ) -> tuple[list[Memory], str | None]:
        """A page, and the cursor of the next. Raises InvalidInput for a cursor that is not ours."""
        return await self._store.list_memories(tenant, user_id, limit, cursor)

    async def delete(self, tenant: str, memory_id: str) -> None:
        """Raises NotFound."""
        if not await self._store.delete_memory(tenant, memory_id):
            raise NotFound(f"no memory {memory_id!r}")


def _numbered(items: Sequence[NewMemory]) -> list[Memory]:
    """Ids sort in the order of arrival, for neighbours are told by it; the tail keeps them unguessable."""
    now, stamp = datetime.now(UTC), time.time_ns()
    return [
        Memory(
            id=f"mem_{stamp:016x}{number:06x}{secrets.token_hex(6)}",
            text=item.text,
            external_id=item.external_id,
            thread=item.thread,
            position=item.position,
            kind=item.kind,
            importance=item.importance,
            created_at=item.created_at or now,
            metadata=item.metadata,
        )
        for number, item in enumerate(items)
    ]

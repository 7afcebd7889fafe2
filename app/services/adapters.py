"""Which adapters there are, and which of them a caller may name."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from app.errors import StorageError, UnknownAdapter
from app.models import SERVED, Adapter
from app.services.adapter_files import AdapterFiles
from app.storage.base import Adapters

ANY = "*"


@dataclass(frozen=True, slots=True)
class Named:
    """The adapter of a call; None for the backend's own."""

    adapter: str | None = None
    required: bool = False
    """Where it is not to be had the caller is told so. One of ours is restored: until then it degrades."""


class AdapterRegistry:
    """Adapters are registered once, by content; callers name them with `lora_name`."""

    def __init__(
        self,
        store: Adapters,
        files: AdapterFiles,
        allowed: frozenset[str] = frozenset(),
        *,
        backend_has_adapters: bool = False,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """`allowed`: names beyond those that are registered, which a server was started with."""
        self._store, self._files, self._now = store, files, now
        self._allowed, self._backend_has_adapters = allowed, backend_has_adapters

    async def resolve(self, lora_name: str | None, tenant: str = "default") -> Named:
        """The adapter that this tenant's caller named; UnknownAdapter where it cannot be had.

        What is registered belongs to its tenant and is served in the states of SERVED, whatever else is
        allowed.
        """
        if lora_name is None:
            return Named()
        if not self._backend_has_adapters:
            raise UnknownAdapter(f"lora_name {lora_name!r}: this backend has no adapters; set SLM_IMPL=vllm")
        registered = await self._store.get_adapter(None, lora_name)
        if registered is None:
            if ANY in self._allowed or lora_name in self._allowed:
                return Named(lora_name, required=True)
        elif registered.tenant == tenant and registered.state in SERVED:
            return Named(lora_name)
        raise UnknownAdapter(
            f"lora_name {lora_name!r} is not allowed; name it in LORA_ALLOWED, or register it and promote it"
        )

    async def publish(
        self,
        source: Path,
        *,
        tenant: str = "default",
        task: str = "hypotheses",
        lineage: Mapping[str, Any] | None = None,
        users: Sequence[str] = (),
    ) -> Adapter:
        """Put it on the shelf and register it; the same content again is the same adapter.

        `users` as the training files write them. Raises InvalidInput where the servers would not load it,
        Conflict, StorageError.
        """
        try:
            published = await asyncio.to_thread(self._files.publish, source, task)
        except OSError as error:
            raise StorageError(f"ADAPTERS_DIR cannot be written: {error.strerror}") from error
        adapter = Adapter(
            name=published.name,
            path=str(published.path),
            base_model=published.facts.base_model,
            rank=published.facts.rank,
            tenant=tenant,
            task=task,
            digest=published.digest,
            created_at=self._now(),
            lineage=lineage or {},
        )
        return await self._store.add_adapter(adapter, users)

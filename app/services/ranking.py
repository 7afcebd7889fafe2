"""Which memories bear on a query: fusion of words and meaning, then, where asked for, a model."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Literal

from app.clients.embedding.base import Embedder, Vectors
from app.clients.slm.base import Call, ScoreRelevance, SLMClient
from app.errors import BackendAnswerInvalid, BackendError, BackendTimeout
from app.models import RankedMemory
from app.services.index_cache import IndexCache, MemoryStore
from app.services.memory_index import MemoryIndex
from app.text import content

Producer = Literal["fusion", "words", "rerank"]
_INLINE = 20_000
"""Up to so many memories a search holds the event loop for a millisecond or two."""


@dataclass(frozen=True, slots=True)
class Ranking:
    """Memories in order, who ordered them, and why it was not who was asked to."""

    results: tuple[RankedMemory, ...]
    producer: Producer
    reason: str | None = None
    origin: Mapping[str, Any] = field(default_factory=dict)
    """Completion.origin of the model that re-ranked; empty where none did."""


class RankingService:
    """Ranks a user's memories. Without `slm_client` the fused order is the answer."""

    def __init__(
        self,
        store: MemoryStore,
        embedder: Embedder,
        slm_client: SLMClient | None = None,
        *,
        rerank_top_k: int = 20,
        rerank_boost: float = 0.3,
        rerank_timeout: float = 0.8,
        max_cached_memories: int = 200_000,
    ) -> None:
        """`rerank_timeout` is in seconds; `rerank_top_k` 0 turns re-ranking off."""
        self._indexes = IndexCache(store, embedder, max_cached_memories)
        self._embedder, self._slm_client = embedder, slm_client
        self._rerank_top_k, self._rerank_boost = rerank_top_k, rerank_boost
        self._rerank_timeout = rerank_timeout

    async def rank_memories(
        self,
        user_id: str,
        query_text: str,
        *,
        tenant: str = "default",
        top_k: int = 10,
        rerank: bool | None = None,
        call: Call | None = None,
        memory_version: int | None = None,
    ) -> Ranking:
        """The `top_k` memories that bear most on the query, best first.

        `rerank` None means wherever there is a backend for it. `memory_version`, from a profile
        already read, saves a round trip. A backend's failure never reaches the caller: the order
        is then the fused one, or that by words alone, and `reason` says why. Raises StorageError.
        """
        call = call or Call(tenant=tenant)
        index = await self._indexes.get(tenant, user_id, memory_version)
        if rerank is False or self._slm_client is None or self._rerank_top_k < 1:
            fused = await self._fused(index, query_text, call, top_k)
            return replace(fused, reason=fused.reason or ("no backend to re-rank with" if rerank else None))
        fused = await self._fused(index, query_text, call, max(top_k, self._rerank_top_k))
        return await self._reranked(self._slm_client, query_text, fused, call, top_k)

    def forget(self, tenant: str, user_id: str) -> None:
        """Drop what this process holds of an erased user."""
        self._indexes.forget(tenant, user_id)

    async def _fused(self, index: MemoryIndex, query: str, call: Call, count: int) -> Ranking:
        if not len(index):
            return Ranking((), "fusion")
        vector: Vectors | None = None
        reason: str | None = None
        try:
            async with asyncio.timeout(call.remaining()):
                vector = await self._query_vector(query)
        except (BackendError, TimeoutError) as error:
            reason = _reason(error)
        if vector is not None and len(vector) != index.dimensions:
            vector, reason = None, "the memories could not be embedded as the query was"
        now = datetime.now(UTC)
        if len(index) > _INLINE:
            results = await asyncio.to_thread(index.search, query, vector, now, count)
        else:
            results = index.search(query, vector, now, count)
        return Ranking(tuple(results), "words" if reason else "fusion", reason)

    async def _query_vector(self, query: str) -> Vectors:
        """The mean of the query as it stands and of its words that are not stop words.

        Where vectors are averages of words, "what do you think about" outweighs the one word that
        matters; where they are not, the sentence keeps its say.
        """
        mean: Vectors = (await self._embedder.embed([query, content(query)])).mean(axis=0)
        return mean

    async def _reranked(
        self, client: SLMClient, query: str, fused: Ranking, call: Call, top_k: int
    ) -> Ranking:
        head, tail = fused.results[: self._rerank_top_k], fused.results[self._rerank_top_k :]
        if not head:
            return fused
        try:
            boosted, origin = await self._vllm_rerank(client, query, head, call)
        except BackendError as error:
            return Ranking(fused.results[:top_k], fused.producer, fused.reason or _reason(error))
        ordered = sorted((*boosted, *tail), key=lambda ranked: -ranked.score)
        return Ranking(tuple(ordered[:top_k]), "rerank", fused.reason, origin)

    async def _vllm_rerank(
        self, client: SLMClient, query: str, candidates: Sequence[RankedMemory], call: Call
    ) -> tuple[list[RankedMemory], Mapping[str, Any]]:
        """Score = fused + boost * relevance, by one call over all candidates; and whose relevance.

        Raises BackendError, also where the answer is late, of the wrong length, or a stand-in's.
        """
        deadline = min(call.deadline, time.monotonic() + self._rerank_timeout)
        task = ScoreRelevance(query, tuple(candidate.memory.text for candidate in candidates))
        try:
            async with asyncio.timeout(max(0.0, deadline - time.monotonic())):
                completion = await client.run(task, replace(call, deadline=deadline))
        except TimeoutError as error:
            raise BackendTimeout("re-ranking took longer than its deadline") from error
        if completion.degraded:
            raise BackendError(completion.reason)
        return _boosted(candidates, completion.value, self._rerank_boost), completion.origin


def _boosted(
    candidates: Sequence[RankedMemory], relevance: Sequence[float], boost: float
) -> list[RankedMemory]:
    if len(relevance) != len(candidates) or not all(math.isfinite(score) for score in relevance):
        raise BackendAnswerInvalid(f"{len(relevance)} relevances for {len(candidates)} candidates")
    return [
        replace(
            candidate,
            score=candidate.score + boost * score,
            scores={**candidate.scores, "rerank": score},
        )
        for candidate, score in zip(candidates, relevance, strict=True)
    ]


def _reason(error: BackendError | TimeoutError) -> str:
    if isinstance(error, TimeoutError):
        return "the embedder took longer than the deadline"
    return f"{error.slug}: {error.detail}"

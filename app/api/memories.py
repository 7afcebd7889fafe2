"""Memories: store, list, delete, search; and ranking for this user."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter, Response
from pydantic import BaseModel

from app.api.deps import CallDep, Cursor, Limit, RecordId, ServicesDep, TenantDep, UserQuery
from app.api.json import JSON, StrictRoute
from app.api.problems import responses
from app.api.schemas import MemoriesBody, MemoryItem, MemoryOut, RankBody, SearchBody
from app.models import Memory
from app.services.memories import NewMemory

router = APIRouter(prefix="/v1", tags=["memories"], route_class=StrictRoute)


class StoredMemory(BaseModel):
    id: str
    external_id: str | None


class StoredOut(BaseModel):
    items: list[StoredMemory]


class FullMemory(MemoryOut):
    thread: str | None
    position: int | None
    kind: str
    importance: float
    created_at: datetime
    metadata: dict[str, Any]


class MemoryPage(BaseModel):
    items: list[FullMemory]
    next_cursor: str | None


class ScoredMemory(MemoryOut):
    score: float
    scores: dict[str, float | None]


class SearchOut(BaseModel):
    request_id: str
    results: list[ScoredMemory]
    producer: str
    reason: str | None


class RankedOut(BaseModel):
    index: int
    text: str
    score: float


class RankOut(BaseModel):
    request_id: str
    ranking: list[RankedOut]
    producer: str


@router.post("/memories", response_model=StoredOut, responses=responses(400, 401, 403, 413, 422, 503))
async def remember(body: MemoriesBody, services: ServicesDep, tenant: TenantDep) -> Response:
    """Store up to 1,000 texts about a user, all or none. A known external_id is replaced."""
    ids = await services.memories.add(tenant, body.user_id, [_new(item) for item in body.items])
    return JSON(
        {
            "items": [
                {"id": key, "external_id": item.external_id}
                for key, item in zip(ids, body.items, strict=True)
            ]
        }
    )


@router.get("/memories", response_model=MemoryPage, responses=responses(401, 403, 422, 503))
async def list_memories(
    user_id: UserQuery, services: ServicesDep, tenant: TenantDep, limit: Limit = 50, cursor: Cursor = None
) -> Response:
    """A user's memories, a page at a time."""
    page, after = await services.memories.list(tenant, user_id, limit, cursor)
    return JSON({"items": [_full(memory) for memory in page], "next_cursor": after})


@router.delete("/memories/{memory_id}", status_code=204, responses=responses(401, 403, 404, 422, 503))
async def forget(memory_id: RecordId, services: ServicesDep, tenant: TenantDep) -> Response:
    """Delete one memory."""
    await services.memories.delete(tenant, memory_id)
    return Response(status_code=204)


@router.post("/memories/search", response_model=SearchOut, responses=responses(400, 401, 403, 413, 422, 503))
async def search(body: SearchBody, services: ServicesDep, call: CallDep) -> Response:
    """A user's memories, the most fitting first, each with the parts of its score."""
    return JSON(await services.recall.search(body.user_id, body.query, body.top_k, body.rerank, call))


@router.post("/rank", response_model=RankOut, responses=responses(400, 401, 403, 413, 422, 503))
async def rank(body: RankBody, services: ServicesDep, call: CallDep) -> Response:
    """Candidates in the order that this user would have them."""
    return JSON(await services.recall.rank(body.user_id, body.query, tuple(body.candidates), call))


def _new(item: MemoryItem) -> NewMemory:
    return NewMemory(
        text=item.text,
        external_id=item.external_id,
        thread=item.thread,
        position=item.position,
        kind=item.kind,
        importance=item.importance,
        created_at=item.created_at or datetime.now(UTC),
        metadata=item.metadata,
    )


def _full(memory: Memory) -> dict[str, Any]:
    return {
        "id": memory.id,
        "external_id": memory.external_id,
        "text": memory.text,
        "thread": memory.thread,
        "position": memory.position,
        "kind": memory.kind,
        "importance": memory.importance,
        "created_at": memory.created_at,
        "metadata": dict(memory.metadata),
    }

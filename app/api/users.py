"""Everything held about a person: take it along, or have it erased."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from fastapi import APIRouter, Response
from pydantic import BaseModel

from app.api.deps import RecordId, ServicesDep, TenantDep, UserPath
from app.api.json import JSON, StrictRoute
from app.api.problems import responses
from app.errors import NotFound

router = APIRouter(prefix="/v1", tags=["users"], route_class=StrictRoute)


class ExportOut(BaseModel):
    user_id: str
    exported_at: datetime
    tables: dict[str, list[dict[str, Any]]]


class Receipt(BaseModel):
    """What was erased, by table, training file and dataset; empty where nothing was held.

    `adapters` were trained on it and are used no more.
    """

    user_id: str
    erased_at: datetime
    rows: dict[str, int]
    training_files: dict[str, int]
    datasets: dict[str, int]
    adapters: list[str]


class InteractionOut(BaseModel):
    request_id: str
    kind: str
    user_id: str
    session_id: str
    created_at: datetime
    input_text: str
    answer: dict[str, Any]
    selection: dict[str, Any] | None


@router.get("/users/{user_id}/export", response_model=ExportOut, responses=responses(401, 403, 422, 503))
async def export(user_id: UserPath, services: ServicesDep, tenant: TenantDep) -> Response:
    """Every row about this user."""
    return JSON(await services.privacy.export(tenant, user_id))


@router.delete("/users/{user_id}", response_model=Receipt, responses=responses(401, 403, 422, 503))
async def erase(user_id: UserPath, services: ServicesDep, tenant: TenantDep) -> Response:
    """Erase this user from the database and the training files."""
    return JSON(await services.privacy.erase(tenant, user_id))


@router.get(
    "/interactions/{request_id}", response_model=InteractionOut, responses=responses(401, 403, 404, 422, 503)
)
async def interaction(request_id: RecordId, services: ServicesDep, tenant: TenantDep) -> Response:
    """One answered request, as it was shown, and what was selected."""
    found = await services.store.get_interaction(tenant, request_id)
    if found is None:
        raise NotFound(f"There is no request {request_id!r}.")
    picked = await services.store.get_selection(tenant, request_id)
    return JSON(
        {
            "request_id": found.id,
            "kind": found.kind,
            "user_id": found.user_id,
            "session_id": found.session_id,
            "created_at": found.created_at,
            "input_text": found.input_text,
            "answer": dict(found.answer),
            "selection": None
            if picked is None
            else {
                "hypothesis_id": picked.hypothesis_id,
                "option": picked.option,
                "free_text": picked.free_text,
                "created_at": picked.created_at,
            },
        }
    )

"""What was learned from selections, for people: read it, weigh it, take it out."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, ConfigDict, Field, model_validator

from app.api.deps import ID_PATTERN, Cursor, Limit, RecordId, ServicesDep, TenantDep
from app.api.json import JSON, StrictRoute
from app.api.problems import responses
from app.services.shelf import LearnedEntry

router = APIRouter(prefix="/v1", tags=["learning"], route_class=StrictRoute)


class EntryOut(BaseModel):
    id: str
    scope: str
    text: str | None
    detail: str
    question: str
    importance: float
    options: list[str]
    picks: float
    skips: float
    weight: float
    disabled: bool


class PlaybookPage(BaseModel):
    """A page of learned entries; `events` and `fingerprint` name the state they were read from."""

    items: list[EntryOut]
    next_cursor: str | None
    events: int
    fingerprint: str


class EntryPatch(BaseModel):
    model_config = ConfigDict(
        extra="forbid", strict=True, json_schema_extra={"examples": [{"weight": 2.0}, {"disabled": True}]}
    )
    weight: float | None = Field(None, ge=0, le=10)
    disabled: bool | None = None

    @model_validator(mode="after")
    def _says_one_thing(self) -> EntryPatch:
        if (self.weight is None) == (self.disabled is None):
            raise ValueError("give weight or disabled")
        return self


UserFilter = Annotated[str | None, Query(pattern=ID_PATTERN)]


@router.get("/playbook", response_model=PlaybookPage, responses=responses(401, 403, 422, 503))
async def list_entries(
    services: ServicesDep,
    tenant: TenantDep,
    user_id: UserFilter = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response:
    """What the tenant's selections taught, or one user's own, newest first."""
    page, after = await services.playbook_edits.page(tenant, user_id, limit, cursor)
    state = await services.playbook_edits.state(tenant)
    return JSON(
        {
            "items": [_entry(entry) for entry in page],
            "next_cursor": after,
            "events": state.events,
            "fingerprint": state.fingerprint(),
        }
    )


@router.patch(
    "/playbook/{entry_id}", response_model=EntryOut, responses=responses(400, 401, 403, 404, 413, 422, 503)
)
async def weigh(entry_id: RecordId, body: EntryPatch, services: ServicesDep, tenant: TenantDep) -> Response:
    """Set how much an entry weighs (1 is as learned), or keep it from all answers."""
    weight = body.weight if body.weight is not None else float(not body.disabled)
    entry = await services.playbook_edits.weigh(tenant, entry_id, weight)
    return JSON(_entry(entry))


@router.delete("/playbook/{entry_id}", status_code=204, responses=responses(401, 403, 404, 422, 503))
async def remove(entry_id: RecordId, services: ServicesDep, tenant: TenantDep) -> Response:
    """Take an entry out. It comes back only when somebody teaches it again."""
    await services.playbook_edits.remove(tenant, entry_id)
    return Response(status_code=204)


def _entry(entry: LearnedEntry) -> dict[str, Any]:
    return {
        "id": entry.id,
        "scope": "user" if entry.text is not None else "tenant",
        "text": entry.text,
        "detail": entry.detail.description,
        "question": entry.detail.question,
        "importance": entry.detail.importance,
        "options": list(entry.detail.options),
        "picks": entry.picks,
        "skips": entry.skips,
        "weight": entry.weight,
        "disabled": entry.set_weight == 0,
    }

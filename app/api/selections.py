"""What users did: selections, choices made elsewhere, feedback."""

from __future__ import annotations

from fastapi import APIRouter, Response
from pydantic import BaseModel

from app.api.deps import CallDep, ServicesDep, TenantDep
from app.api.json import JSON, StrictRoute
from app.api.problems import responses
from app.api.schemas import ChoiceBody, FeedbackBody, HypothesizeOut, SelectionBody, UndoBody
from app.services.learner import Pick

router = APIRouter(prefix="/v1", tags=["learning"], route_class=StrictRoute)


class Learned(BaseModel):
    kind: str
    name: str
    value: str


class Assumption(BaseModel):
    detail: str
    option: str
    source: str


class SelectionOut(BaseModel):
    """What was learned, what the request has become, and the next round where one is worth it."""

    request_id: str
    session_id: str
    learned: list[Learned]
    resolved_request: str
    assumptions: list[Assumption]
    next: HypothesizeOut | None


class Undone(BaseModel):
    hypothesis_id: str
    detail: str
    option: str


class UndoOut(BaseModel):
    """What is not assumed any more, and what was learned from that."""

    request_id: str
    undone: Undone
    learned: list[Learned]


class RecordedOut(BaseModel):
    id: str
    learned: list[Learned]


@router.post(
    "/selections", response_model=SelectionOut, responses=responses(400, 401, 403, 404, 409, 413, 422, 503)
)
async def select(body: SelectionBody, services: ServicesDep, call: CallDep) -> Response:
    """Tell what the user picked. The same twice is answered alike; a different one is a conflict."""
    pick = Pick(body.request_id, body.hypothesis_id, body.option, body.free_text)
    return JSON(await services.learner.select(pick, call))


@router.post("/undo", response_model=UndoOut, responses=responses(400, 401, 403, 404, 409, 413, 422, 503))
async def undo(body: UndoBody, services: ServicesDep, tenant: TenantDep) -> Response:
    """Take an auto-advance back, until `undo_expires_at`. The same twice is answered alike."""
    return JSON(await services.learner.undo(tenant, body.undo_token))


@router.post("/choices", response_model=RecordedOut, responses=responses(400, 401, 403, 413, 422, 503))
async def choose(body: ChoiceBody, services: ServicesDep, tenant: TenantDep) -> Response:
    """Tell of a choice made elsewhere, for the persona."""
    return JSON(
        await services.learner.choose(
            tenant, body.user_id, body.input_text, tuple(body.options), body.selected
        )
    )


@router.post("/feedback", response_model=RecordedOut, responses=responses(400, 401, 403, 404, 413, 422, 503))
async def feed_back(body: FeedbackBody, services: ServicesDep, tenant: TenantDep) -> Response:
    """Judge an answer, however late; it joins a hypothesis, search or ranking by request_id."""
    return JSON(
        await services.learner.feed_back(
            tenant,
            body.user_id,
            body.request_id,
            rating=body.rating,
            comment=body.comment,
            correction=body.correction,
            useful=tuple(body.useful),
            not_useful=tuple(body.not_useful),
        )
    )

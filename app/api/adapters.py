"""/v1/adapters: what was trained, how it was judged, and which of it answers users."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Response
from pydantic import BaseModel, ConfigDict, Field

from app.api.deps import (
    ID_PATTERN,
    AdminDep,
    BearerDep,
    ServicesDep,
    TrainerDep,
    tenant_of,
)
from app.api.experiments import ExperimentOut, Share, experiment_body
from app.api.json import JSON, StrictRoute
from app.api.problems import responses
from app.api.schemas import Body, Name
from app.models import Adapter

router = APIRouter(prefix="/v1/adapters", tags=["adapters"], route_class=StrictRoute)
AdapterName = Annotated[str, Path(pattern=ID_PATTERN, examples=["hypotheses-5f3c0f9a1b2c"])]
TaskName = Literal["hypotheses"]


class RegisterBody(Body):
    model_config = ConfigDict(
        json_schema_extra={"examples": [{"path": "monday", "lineage": {"job": "9f1c2b7e5d60"}}]}
    )
    path: Name = Field(description="A directory below ADAPTERS_DIR/trained/TENANT")
    task: TaskName = "hypotheses"
    lineage: dict[str, Any] = Field(
        default_factory=dict, max_length=50, description="Kept; `dataset` is what its card says"
    )


class CanaryBody(Body):
    model_config = ConfigDict(json_schema_extra={"examples": [{"share": 0.2}]})
    share: Share | None = Field(None, description="Absent: CANARY_SHARE")
    forced: bool = Field(False, description="Past the gates; needs the scope admin, and is written down")


class PromoteBody(Body):
    model_config = ConfigDict(json_schema_extra={"examples": [{}, {"forced": True}]})
    forced: bool = Field(False, description="Past the gates; is written down")


class RollbackBody(Body):
    model_config = ConfigDict(json_schema_extra={"examples": [{}, {"name": "hypotheses-5f3c0f9a1b2c"}]})
    task: TaskName = "hypotheses"
    name: Name | None = Field(
        None, description="The one that is meant, live or on trial; absent: what is live"
    )


class AdapterOut(BaseModel):
    """`gates`: by gate its figures, and why it was not passed; empty until it was judged."""

    name: str
    task: str
    state: Literal[
        "registered",
        "rejected",
        "gated",
        "loaded",
        "canary",
        "live",
        "retired",
        "rolled_back",
        "tainted",
    ]
    base_model: str
    rank: int
    digest: str
    created_at: datetime
    lineage: dict[str, Any]
    gates: dict[str, Any]


class AdaptersOut(BaseModel):
    items: list[AdapterOut]


class MoveOut(BaseModel):
    before: str
    after: str
    at: datetime
    reason: str


class AdapterHistoryOut(AdapterOut):
    moves: list[MoveOut]


class LiveOut(BaseModel):
    """What is live after a rollback; null: the base model."""

    task: str
    live: AdapterOut | None


@router.get("", response_model=AdaptersOut, responses=responses(401, 403, 503))
async def list_adapters(services: ServicesDep, tenant: TrainerDep) -> Response:
    """Every adapter of the tenant, oldest first."""
    found = await services.promotion.adapters(tenant)
    return JSON({"items": [_adapter(one) for one in found]})


@router.post("", response_model=AdapterOut, responses=responses(400, 401, 403, 409, 413, 422, 503))
async def register(body: RegisterBody, services: ServicesDep, tenant: TrainerDep) -> Response:
    """Take a trained adapter in, under a name made of its content. Twice the same is the same adapter."""
    adapter = await services.promotion.register_named(tenant, body.path, body.task, body.lineage)
    return JSON(_adapter(adapter))


@router.post("/rollback", response_model=LiveOut, responses=responses(400, 401, 403, 404, 409, 413, 422, 503))
async def rollback(body: RollbackBody, services: ServicesDep, tenant: AdminDep) -> Response:
    """Take back what is live, and restore what was live before; or end the trial of the one named."""
    live = await services.promotion.rollback(tenant, body.task, body.name)
    return JSON({"task": body.task, "live": _adapter(live) if live else None})


@router.get("/{name}", response_model=AdapterHistoryOut, responses=responses(401, 403, 404, 422, 503))
async def get_adapter(name: AdapterName, services: ServicesDep, tenant: TrainerDep) -> Response:
    """An adapter, and how it came to where it is."""
    tracked = await services.promotion.track(tenant, name)
    moves = [{key: asdict(move)[key] for key in MoveOut.model_fields} for move in tracked.moves]
    return JSON({**_adapter(tracked.adapter), "moves": moves})


@router.post(
    "/{name}/examine",
    response_model=AdapterOut,
    status_code=202,
    responses=responses(401, 403, 404, 409, 422, 501, 503),
)
async def examine(name: AdapterName, services: ServicesDep, tenant: TrainerDep) -> Response:
    """Let the gates judge it, in the background, for minutes. GET shows the result, or why there is none."""
    return JSON(_adapter(await services.candidates.begin(tenant, name)), 202)


@router.post(
    "/{name}/canary",
    response_model=ExperimentOut,
    responses=responses(400, 401, 403, 404, 409, 413, 422, 503),
)
async def canary(name: AdapterName, body: CanaryBody, services: ServicesDep, bearer: BearerDep) -> Response:
    """Try it out: beside what is live at first, unseen; then by a share of the users."""
    tenant = tenant_of(services, bearer, "admin" if body.forced else "train")
    started = await services.promotion.start_canary(tenant, name, body.share, forced=body.forced)
    return JSON(experiment_body(started))


@router.post(
    "/{name}/promote",
    response_model=AdapterOut,
    responses=responses(400, 401, 403, 404, 409, 413, 422, 503),
)
async def promote(name: AdapterName, body: PromoteBody, services: ServicesDep, tenant: AdminDep) -> Response:
    """Make it live at once, for everybody; what was live is retired."""
    return JSON(_adapter(await services.promotion.promote(tenant, name, forced=body.forced)))


def _adapter(adapter: Adapter) -> dict[str, Any]:
    told = asdict(adapter)
    return {name: told[name] for name in AdapterOut.model_fields}

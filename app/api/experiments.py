"""/v1/experiments: candidates on trial, and what their users say so far."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Response
from pydantic import BaseModel, ConfigDict, Field

from app.api.deps import BearerDep, Limit, RecordId, ServicesDep, TrainerDep, tenant_of
from app.api.json import JSON, StrictRoute
from app.api.problems import responses
from app.api.schemas import Body, Name
from app.models import Experiment
from app.services.canaries import Look
from app.services.promotion import LEAST_SHARE, MOST_SHARE

router = APIRouter(prefix="/v1/experiments", tags=["adapters"], route_class=StrictRoute)
Share = Annotated[float, Field(ge=LEAST_SHARE, le=MOST_SHARE, description="Of the users get the candidate")]


class ExperimentBody(Body):
    model_config = ConfigDict(
        json_schema_extra={"examples": [{"candidate": "hypotheses-5f3c0f9a1b2c", "share": 0.2}]}
    )
    candidate: Name
    share: Share | None = Field(None, description="Absent: CANARY_SHARE")
    alpha: float | None = Field(
        None,
        gt=0,
        le=0.2,
        description="The chance that it promotes what is no better; absent: EXPERIMENT_ALPHA",
    )
    forced: bool = Field(False, description="Past the gates; needs the scope admin, and is written down")


class ExperimentOut(BaseModel):
    """`control` null: the base model. `reason`: why it ended, or how far it is."""

    id: str
    task: str
    control: str | None
    candidate: str
    phase: Literal["shadow", "canary"]
    share: float
    alpha: float
    verdict: Literal["running", "promoted", "rolled_back", "futile", "stopped"]
    reason: str
    started_at: datetime
    ended_at: datetime | None


class ExperimentsOut(BaseModel):
    items: list[ExperimentOut]


class ShadowOut(BaseModel):
    """Answers of the candidate that nobody saw, beside those that were shown."""

    comparisons: int
    valid: float | None
    agreement: float | None
    p50_ms: float | None
    p50_ms_live: float | None
    verdict: str
    reason: str


class ArmOut(BaseModel):
    """`counted` users are in the test, with `success` as their mean outcome."""

    name: Literal["control", "candidate"]
    adapter: str | None
    users: int
    exposures: int
    selected: int
    undone: int
    none_fitted: int
    rated: int
    rating: float | None
    degraded: int
    p50_ms: float | None
    p95_ms: float | None
    counted: int
    success: float | None


class EvidenceOut(BaseModel):
    """The lift is the candidate's success less the control's; interval and e-values hold whenever read."""

    users: int
    estimate: float | None
    low: float
    high: float
    better: float
    worse: float


class GuardOut(BaseModel):
    """A share that must not be `allowed` or more above the control's."""

    name: str
    control: float | None
    candidate: float | None
    allowed: float
    e_value: float
    tripped: bool


class LookOut(ExperimentOut):
    """`decision`: what the figures say; it is carried out at the next tick."""

    shadow: ShadowOut
    arms: list[ArmOut]
    evidence: EvidenceOut
    guards: list[GuardOut]
    decision: Literal["running", "promote", "roll back", "futile"]
    decision_reason: str


@router.get("", response_model=ExperimentsOut, responses=responses(401, 403, 422, 503))
async def list_experiments(services: ServicesDep, tenant: TrainerDep, limit: Limit = 50) -> Response:
    """The latest, newest first."""
    found = await services.canaries.recent(tenant, limit)
    return JSON({"items": [experiment_body(one) for one in found]})


@router.post("", response_model=ExperimentOut, responses=responses(400, 401, 403, 404, 409, 413, 422, 503))
async def start(body: ExperimentBody, services: ServicesDep, bearer: BearerDep) -> Response:
    """Put a candidate on trial, as POST /v1/adapters/{name}/canary does."""
    tenant = tenant_of(services, bearer, "admin" if body.forced else "train")
    started = await services.promotion.start_canary(
        tenant, body.candidate, body.share, forced=body.forced, alpha=body.alpha
    )
    return JSON(experiment_body(started))


@router.get("/{experiment_id}", response_model=LookOut, responses=responses(401, 403, 404, 422, 503))
async def read(experiment_id: RecordId, services: ServicesDep, tenant: TrainerDep) -> Response:
    """Arms, counts, estimate, interval and decision, as they stand; may be read at any moment."""
    return JSON(_look(await services.canaries.look(tenant, experiment_id)))


def experiment_body(experiment: Experiment) -> dict[str, Any]:
    """An ExperimentOut."""
    told = asdict(experiment)
    return {name: told[name] for name in ExperimentOut.model_fields}


def _look(look: Look) -> dict[str, Any]:
    reading = asdict(look.reading)
    return {
        **experiment_body(look.experiment),
        "shadow": asdict(look.shadow),
        "arms": reading["arms"],
        "evidence": reading["evidence"],
        "guards": reading["guards"],
        "decision": reading["decision"],
        "decision_reason": reading["reason"],
    }

"""How sure the service may be: its calibrations, the bound of auto-advance, the weights of the order."""

from __future__ import annotations

from fastapi import APIRouter, Response
from pydantic import BaseModel

from app.api.deps import ServicesDep, TenantDep
from app.api.json import JSON, StrictRoute
from app.api.problems import responses

router = APIRouter(prefix="/v1", tags=["learning"], route_class=StrictRoute)


class BinOut(BaseModel):
    """A point of a reliability diagram."""

    predicted: float
    observed: float
    labels: int


class ReliabilityOut(BaseModel):
    """Of probabilities that were given before their label was known."""

    labels: int
    base_rate: float | None
    brier: float | None
    skill: float | None
    ece: float | None
    ece_by_chance: float | None
    bins: list[BinOut]


class CalibrationOut(BaseModel):
    producer: str
    model: str
    adapter: str | None
    prompt_version: str
    scorer_version: str
    labels: int
    judged: ReliabilityOut


class BoundStateOut(BaseModel):
    """`threshold` null: nothing is assumed, for want of labels or because habits changed."""

    alpha: float
    delta: float
    labels: int
    threshold: float | None
    stood_down: int


class OrderOut(BaseModel):
    labels: int
    weights: dict[str, float]


class CalibrationsOut(BaseModel):
    calibrations: list[CalibrationOut]
    bound: BoundStateOut
    order: OrderOut


@router.get("/calibration", response_model=CalibrationsOut, responses=responses(401, 403, 503))
async def read(services: ServicesDep, tenant: TenantDep) -> Response:
    """Each calibration with its diagram, ECE, Brier score and skill; the bound; the weights of the order."""
    return JSON((await services.learned.get(tenant)).choices.report())

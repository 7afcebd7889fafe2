"""Is it alive, can it answer, what is behind it."""

from __future__ import annotations

from typing import Literal

from fastapi import APIRouter, Response
from pydantic import BaseModel

from app import __version__
from app.api.deps import ServicesDep, TenantDep
from app.api.json import JSON, StrictRoute
from app.api.problems import responses

router = APIRouter(tags=["operations"], route_class=StrictRoute)


class Alive(BaseModel):
    status: str


class BackendStatus(BaseModel):
    name: str
    ok: bool
    detail: str
    model: str
    version: str
    adapters: list[str]


class DatabaseStatus(BaseModel):
    ok: bool
    detail: str


class EmbedderStatus(BaseModel):
    name: str
    ok: bool
    detail: str


class PlaybookStatus(BaseModel):
    """`embedded` is false while the embedding server has not answered: words alone find entries."""

    entries: int
    embedded: bool


class AdapterStanding(BaseModel):
    """An adapter that every replica is to have, and how far this one is with it."""

    name: str
    phase: Literal["pending", "loading", "verified", "failed"]
    error: str


class ReplicaStatus(BaseModel):
    url: str
    ok: bool
    detail: str
    version: str
    adapters: list[str]
    reconciled: list[AdapterStanding]


class Status(BaseModel):
    version: str
    database: DatabaseStatus
    embedder: EmbedderStatus
    playbook: PlaybookStatus
    backend: BackendStatus
    replicas: list[ReplicaStatus]
    training_data: dict[str, object]


@router.get("/health/live", response_model=Alive)
async def live() -> Response:
    """The event loop turns."""
    return JSON({"status": "ok"})


@router.get("/health/ready", response_model=Alive, responses=responses(503))
async def ready(services: ServicesDep) -> Response:
    """The database answers, so requests can be answered: what a backend cannot do, the local one does."""
    await services.store.ping()
    return JSON({"status": "ok"})


@router.get("/v1/status", response_model=Status, responses=responses(401, 403, 503))
async def status(services: ServicesDep, tenant: TenantDep) -> Response:
    """Each dependency as it answers now, and what is being collected. 200 also where some are away."""
    del tenant
    return JSON({"version": __version__, **await services.dependencies.report()})

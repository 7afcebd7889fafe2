"""/v1/training: what there is to learn from, datasets, and the jobs that train on them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Header, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ConfigDict, Field

from app.api.deps import Cursor, Limit, RecordId, ServicesDep, TrainerDep
from app.api.json import JSON, StrictRoute, encode
from app.api.problems import responses
from app.api.schemas import Body, Name
from app.errors import ServiceError
from app.models import TrainingJob
from app.services.training.desk import Dataset
from app.services.training.jobs import JobEvent
from app.services.training.orders import named_config

router = APIRouter(prefix="/v1/training", tags=["training"], route_class=StrictRoute)
TaskName = Literal["hypotheses", "persona_updates", "ranking", "preferences"]
Option = bool | int | float | str | None


class DatasetsBody(Body):
    model_config = ConfigDict(json_schema_extra={"examples": [{"tasks": ["hypotheses", "preferences"]}]})
    tasks: list[TaskName] = Field(
        ["hypotheses", "persona_updates", "ranking", "preferences"], min_length=1, max_length=4
    )


class JobBody(Body):
    """`dataset` and `output` are paths inside the tenant's own directories; both may be left out."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"recipe": "sft", "options": {"epochs": 2, "rank": 16}}]}
    )
    recipe: Literal["sft", "dpo", "kto"] = "sft"
    task: Literal["hypotheses"] = "hypotheses"
    dataset: Name | None = Field(None, description="As POST /v1/training/datasets names it; absent: made now")
    model: Name | None = Field(None, description="One of TRAINING_MODELS; absent: the first of them")
    output: Name | None = Field(None, description="A new directory; absent: one of the job's own")
    options: dict[str, Option] = Field(
        default_factory=dict, max_length=50, description="Other arguments of the recipe, by name"
    )


class JobOut(BaseModel):
    """`progress`: step, steps, epoch, loss, eval_loss, learning_rate, seconds, eta_seconds, as last told.

    `config` names dataset and output as callers know them, not as paths of the server.
    """

    id: str
    task: str
    recipe: str
    status: Literal["queued", "running", "succeeded", "failed", "cancelled", "lost"]
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    progress: dict[str, float]
    adapter: str | None
    detail: str
    cancel_asked: bool
    config: dict[str, Option]


class JobPage(BaseModel):
    items: list[JobOut]
    next_cursor: str | None


class RowCounts(BaseModel):
    made: int
    train: int
    held_out: int
    repeated: int


class DatasetOut(BaseModel):
    """`records_dropped`: records that made no row, by reason; `lines_dropped`: lines that cannot be read."""

    name: str
    task: str
    rows: RowCounts
    records_dropped: dict[str, int]
    lines_dropped: dict[str, int]
    note: str


class DatasetsOut(BaseModel):
    items: list[DatasetOut]


class DatasetHead(BaseModel):
    name: str
    task: str
    rows: RowCounts


class TrainingStats(BaseModel):
    """Of this tenant: lines by file, labels by kind, datasets made so far, and the job that runs."""

    collecting: bool
    records: dict[str, int]
    labels: dict[str, int]
    datasets: list[DatasetHead]
    running: JobOut | None


@router.get("/stats", response_model=TrainingStats, responses=responses(401, 403, 503))
async def stats(services: ServicesDep, tenant: TrainerDep) -> Response:
    """What there is to learn from, and whether anything is learning."""
    found = await services.training.stats(tenant)
    return JSON(found | {"running": _job(found["running"]) if found["running"] else None})


@router.post("/datasets", response_model=DatasetsOut, responses=responses(400, 401, 403, 413, 422, 503))
async def make_datasets(body: DatasetsBody, services: ServicesDep, tenant: TrainerDep) -> Response:
    """Make datasets of the records as they are now. The same records give the same names."""
    made = await services.training.prepare(tenant, body.tasks)
    return JSON({"items": [_dataset(one) for one in made]})


@router.get("/jobs", response_model=JobPage, responses=responses(401, 403, 422, 503))
async def list_jobs(
    services: ServicesDep, tenant: TrainerDep, limit: Limit = 50, cursor: Cursor = None
) -> Response:
    """Newest first."""
    found, after = await services.training.jobs.page(tenant, limit, cursor)
    return JSON({"items": [_job(job) for job in found], "next_cursor": after})


@router.post("/jobs", response_model=JobOut, responses=responses(400, 401, 403, 409, 413, 422, 503))
async def add_job(body: JobBody, services: ServicesDep, tenant: TrainerDep) -> Response:
    """Queue a training run. One runs at a time, whosever it is."""
    job = await services.training.order(
        tenant,
        body.recipe,
        task=body.task,
        dataset=body.dataset,
        model=body.model,
        output=body.output,
        options=body.options,
    )
    return JSON(_job(job))


@router.get("/jobs/{job_id}", response_model=JobOut, responses=responses(401, 403, 404, 422, 503))
async def get_job(job_id: RecordId, services: ServicesDep, tenant: TrainerDep) -> Response:
    """A job as it stands."""
    return JSON(_job(await services.training.jobs.get(tenant, job_id)))


@router.post(
    "/jobs/{job_id}/cancel", response_model=JobOut, responses=responses(401, 403, 404, 409, 422, 503)
)
async def cancel_job(job_id: RecordId, services: ServicesDep, tenant: TrainerDep) -> Response:
    """Ask it to stop: a queued job ends at once, a running one within seconds."""
    return JSON(_job(await services.training.jobs.cancel(tenant, job_id)))


@router.post(
    "/jobs/{job_id}/resume", response_model=JobOut, responses=responses(401, 403, 404, 409, 422, 503)
)
async def resume_job(job_id: RecordId, services: ServicesDep, tenant: TrainerDep) -> Response:
    """Queue a lost, failed or cancelled job again; it goes on from its last checkpoint."""
    return JSON(_job(await services.training.jobs.resume(tenant, job_id)))


_STREAM: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Server-sent events until the job ends",
        "content": {
            "text/event-stream": {
                "schema": {"type": "string"},
                "example": (
                    'event: log\nid: 20-0\ndata: {"line":"loading the model"}\n\n'
                    'event: progress\nid: 20-58\ndata: {"step":1,"steps":40,"loss":2.31}\n\n: keep-alive\n\n'
                ),
            }
        },
    }
}


@router.get(
    "/jobs/{job_id}/events",
    response_class=StreamingResponse,
    responses=_STREAM | responses(401, 403, 404, 422, 503),
)
async def job_events(
    job_id: RecordId,
    services: ServicesDep,
    tenant: TrainerDep,
    last_event_id: Annotated[str, Header(max_length=64)] = "",
) -> Response:
    """Events `log` and `progress` as they come, then one `end` (the job) or `error` (a problem).

    Comments keep the connection alive. With Last-Event-ID it goes on after that event.
    """
    events = await services.training.jobs.follow(tenant, job_id, last_event_id)
    return StreamingResponse(
        _stream(events), media_type="text/event-stream", headers={"cache-control": "no-store"}
    )


async def _stream(events: AsyncIterator[JobEvent]) -> AsyncIterator[bytes]:
    try:
        async for event in events:
            yield _event(event)
    except ServiceError as error:
        told = {"title": error.title, "status": error.status, "detail": error.detail}
        yield b"event: error\ndata: " + encode({"type": f"/problems/{error.slug}", **told}) + b"\n\n"


def _event(event: JobEvent) -> bytes:
    if event.kind == "quiet":
        return b": keep-alive\n\n"
    data = _job(event.job) if event.job else event.data
    return f"event: {event.kind}\nid: {event.place}\ndata: ".encode() + encode(data) + b"\n\n"


def _job(job: TrainingJob) -> dict[str, Any]:
    told = asdict(job)
    return {name: told[name] for name in JobOut.model_fields} | {"config": named_config(job)}


def _dataset(made: Dataset) -> dict[str, Any]:
    told = {name: made.manifest[name] for name in ("rows", "records_dropped", "lines_dropped", "note")}
    return {"name": made.name, "task": made.task, **told}

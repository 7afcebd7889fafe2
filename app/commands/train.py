"""`embed-service train ...`: from the records to an adapter, by hand.

Exit status: 0 done; 1 an error, said in one line; 2 wrong usage; 3 the job failed or was lost;
4 the job was cancelled.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from app.commands.shown import DatasetBar, echo_datasets, echo_job, echo_jobs, follow
from app.config import load_settings
from app.errors import InvalidInput
from app.models import TrainingJob
from app.services.bundle import Services
from app.services.training.desk import TrainingDesk
from app.services.training.jobs import ENDED
from app.services.training.orders import Order
from app.services.training.processes import LOG
from app.wiring import open_services

train = typer.Typer(no_args_is_help=True, help=__doc__)

Tenant = Annotated[str, typer.Option(help="Whose records; without API_KEYS there is one")]
AsJSON = Annotated[bool, typer.Option("--json", help="Print JSON, and nothing else, on stdout")]
JobId = Annotated[str, typer.Argument(help="As `train status` lists it")]
RecipeName = Annotated[str, typer.Option(help="sft, dpo or kto")]
Model = Annotated[str | None, typer.Option(help="Base model: hub id or directory [default: VLLM_MODEL_NAME]")]
Sets = Annotated[
    list[str] | None,
    typer.Option("--set", help="Another argument of the recipe, NAME=VALUE; may be repeated"),
]
Detach = Annotated[bool, typer.Option(help="Only queue it: a service or a worker runs it")]
OutputDirectory = Annotated[Path | None, typer.Option(help="A new directory [default: one of the job's own]")]


@train.command()
def prepare(
    tenant: Tenant = "default",
    output: Annotated[
        Path | None, typer.Option(help="Where datasets go [default: below TRAINING_DATA_DIR]")
    ] = None,
    as_json: AsJSON = False,
) -> None:
    """Make datasets of the records: rows read, kept, and dropped with the reason."""

    async def run() -> None:
        async with _opened() as services:
            with DatasetBar(quiet=as_json) as bar:
                made = await services.training.prepare(tenant, output=output, progress=bar.show)
        echo_datasets(made, as_json=as_json)

    asyncio.run(run())


@train.command()
def script(
    dataset: Annotated[Path, typer.Option(help="A JSONL file, as `train prepare` names it")],
    output: Annotated[Path, typer.Option(help="Where the script will write what it trains")],
    model: Model = None,
    recipe: Annotated[str | None, typer.Option(help="sft, dpo or kto [default: as the dataset is]")] = None,
    sets: Sets = None,
    as_json: AsJSON = False,
) -> None:
    """Write a script that trains when it is run without arguments, and its configuration beside it."""
    settings = load_settings()

    async def run() -> Path:
        async with _opened() as services:
            return services.trainer.generate_training_script(
                dataset_path=dataset,
                model_name=model or settings.vllm_model_name,
                output_model_path=output,
                recipe=recipe,
                **_options(sets or []),
            )

    path = asyncio.run(run())
    run_it = f"{settings.training_python} {path}"
    typer.echo(json.dumps({"script": str(path)}) if as_json else f"Train with: {run_it}")


@train.command("run")
def run_job(
    recipe: RecipeName = "sft",
    tenant: Tenant = "default",
    dataset: Annotated[
        Path | None, typer.Option(help="A JSONL file [default: made of the records now]")
    ] = None,
    model: Model = None,
    output: OutputDirectory = None,
    epochs: Annotated[float | None, typer.Option(help="Passes over the dataset")] = None,
    sets: Sets = None,
    detach: Detach = False,
    as_json: AsJSON = False,
) -> None:
    """Make a dataset, train on it, show how it goes. Ctrl-C cancels; `train resume` goes on."""
    settings = load_settings()
    options = _options(sets or []) | ({} if epochs is None else {"epochs": epochs})

    async def run() -> TrainingJob:
        async with _opened() as services:
            with DatasetBar(quiet=as_json) as bar:
                path = dataset or await services.training.dataset_for(tenant, recipe, progress=bar.show)
            order = Order(
                tenant, "hypotheses", recipe, path, model or settings.vllm_model_name, output, options
            )
            return await _watched(services, await services.training.jobs.add(order), detach, as_json)

    _end(asyncio.run(run()), as_json=as_json)


@train.command()
def resume(
    job_id: JobId, tenant: Tenant = "default", detach: Detach = False, as_json: AsJSON = False
) -> None:
    """Go on with a lost, failed or cancelled job from its last checkpoint."""

    async def run() -> TrainingJob:
        async with _opened() as services:
            job = await services.training.jobs.resume(tenant, job_id)
            return await _watched(services, job, detach, as_json)

    _end(asyncio.run(run()), as_json=as_json)


@train.command()
def status(
    job_id: Annotated[str | None, typer.Argument(help="One job; all where absent")] = None,
    tenant: Tenant = "default",
    as_json: AsJSON = False,
) -> None:
    """How a job stands, or the newest hundred."""

    async def run() -> None:
        async with _desk() as desk:
            if job_id is not None:
                echo_job(await desk.jobs.get(tenant, job_id), as_json=as_json)
            else:
                echo_jobs((await desk.jobs.page(tenant, 100, None))[0], as_json=as_json)

    asyncio.run(run())


@train.command()
def cancel(job_id: JobId, tenant: Tenant = "default", as_json: AsJSON = False) -> None:
    """Ask a job to stop; whoever runs it hears of it within seconds."""

    async def run() -> None:
        async with _desk() as desk:
            echo_job(await desk.jobs.cancel(tenant, job_id), as_json=as_json)

    asyncio.run(run())


@train.command()
def log(job_id: JobId, tenant: Tenant = "default", as_json: AsJSON = False) -> None:
    """What the training process said."""

    async def run() -> Path:
        async with _desk() as desk:
            return Path((await desk.jobs.get(tenant, job_id)).directory) / LOG

    path = asyncio.run(run())
    if not path.exists():
        raise InvalidInput("this job has said nothing yet")
    text = path.read_text(encoding="utf-8", errors="replace")
    typer.echo(json.dumps({"log": text.splitlines()}) if as_json else text, nl=as_json)


@asynccontextmanager
async def _opened() -> AsyncIterator[Services]:
    async with open_services(load_settings()) as services:
        yield services


@asynccontextmanager
async def _desk() -> AsyncIterator[TrainingDesk]:
    async with _opened() as services:
        yield services.training


async def _watched(services: Services, job: TrainingJob, detach: bool, as_json: bool) -> TrainingJob:
    """The job at its end; it runs here, unless a service or a worker is at it first."""
    if detach:
        return job
    async with services.runner.running():
        return await follow(services.training.jobs, job, quiet=as_json)


def _options(sets: list[str]) -> dict[str, Any]:
    """NAME=VALUE, the value as JSON where it is some and as text else."""
    options: dict[str, Any] = {}
    for one in sets:
        name, equals, value = one.partition("=")
        if not name or not equals:
            raise typer.BadParameter(f"{one!r}: write NAME=VALUE", param_hint="--set")
        try:
            options[name] = json.loads(value)
        except ValueError:
            options[name] = value
    return options


def _end(job: TrainingJob, *, as_json: bool) -> None:
    echo_job(job, as_json=as_json)
    if job.status in ENDED and job.status != "succeeded":
        raise typer.Exit(4 if job.status == "cancelled" else 3)

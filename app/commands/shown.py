"""What the training commands show: bars while they work, one line or JSON at the end."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from types import TracebackType
from typing import Any, Self

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from app.errors import Conflict
from app.models import TrainingJob
from app.services.training.desk import Dataset
from app.services.training.jobs import TrainingJobs


def _bar(*, quiet: bool) -> Progress:
    """On stderr, so that stdout holds what was asked for; nothing where JSON was."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[note]}"),
        console=Console(stderr=True),
        disable=quiet,
    )


class DatasetBar:
    """A bar for each stage of making datasets."""

    def __init__(self, *, quiet: bool) -> None:
        self._bar = _bar(quiet=quiet)
        self._stages: dict[str, Any] = {}

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def show(self, stage: str, done: int, total: int) -> None:
        """May be called from a thread."""
        if stage not in self._stages:
            self._stages[stage] = self._bar.add_task(stage.replace("_", " "), note="")
        self._bar.update(self._stages[stage], completed=done, total=total)


async def follow(jobs: TrainingJobs, job: TrainingJob, *, quiet: bool) -> TrainingJob:
    """Show progress until the job ends. Ctrl-C cancels it; a second one leaves at once."""
    loop = asyncio.get_running_loop()
    cancelling: list[asyncio.Task[None]] = []

    def interrupted() -> None:
        loop.remove_signal_handler(signal.SIGINT)
        cancelling.append(loop.create_task(_cancel(jobs, job)))

    loop.add_signal_handler(signal.SIGINT, interrupted)
    try:
        return await _shown(jobs, job, quiet=quiet)
    finally:
        loop.remove_signal_handler(signal.SIGINT)
        await asyncio.gather(*cancelling)


async def _cancel(jobs: TrainingJobs, job: TrainingJob) -> None:
    with contextlib.suppress(Conflict):  # it has ended by itself
        await jobs.cancel(job.tenant, job.id)


async def _shown(jobs: TrainingJobs, job: TrainingJob, *, quiet: bool) -> TrainingJob:
    with _bar(quiet=quiet) as bar:
        line = bar.add_task(f"job {job.id[:8]}", total=None, note="")
        async for event in await jobs.follow(job.tenant, job.id):
            if event.kind == "progress":
                told = event.data
                bar.update(line, completed=told.get("step"), total=told.get("steps"), note=figures(told))
            if event.job is not None:
                return event.job
    return await jobs.get(job.tenant, job.id)


def figures(progress: Mapping[str, Any]) -> str:
    """Loss and what is left, as far as they are known."""
    loss, held_out, left = (progress.get(name) for name in ("loss", "eval_loss", "eta_seconds"))
    told = [
        "" if loss is None else f"loss {loss:.3f}",
        "" if held_out is None else f"held out {held_out:.3f}",
        "" if left is None else f"{left:.0f} s left",
    ]
    return ", ".join(filter(None, told))


def echo_job(job: TrainingJob, *, as_json: bool) -> None:
    typer.echo(_json(job_body(job)) if as_json else _line(job))


def echo_jobs(jobs: Sequence[TrainingJob], *, as_json: bool) -> None:
    if as_json:
        typer.echo(_json([job_body(job) for job in jobs]))
    for job in () if as_json else jobs:
        typer.echo(_line(job))


def echo_datasets(made: Sequence[Dataset], *, as_json: bool) -> None:
    if as_json:
        typer.echo(_json([{"path": str(one.path), **one.manifest} for one in made]))
    for one in () if as_json else made:
        rows, read = one.manifest["rows"], sum(one.manifest["lines"].values())
        typer.echo(
            f"{one.task}: {read} lines read, {rows['made']} rows made, {rows['train']} to learn from,"
            f" {rows['held_out']} held out, {rows['repeated']} repeated"
        )
        dropped = {**one.manifest["lines_dropped"], **one.manifest["records_dropped"]}
        for reason, count in dropped.items():
            typer.echo(f"  dropped {count}: {reason}")
        typer.echo(f"  {one.path}")


def job_body(job: TrainingJob) -> dict[str, Any]:
    """A job in JSON types."""
    return {
        name: value.isoformat() if hasattr(value, "isoformat") else value
        for name, value in asdict(job).items()
    }


def _line(job: TrainingJob) -> str:
    step = f"step {job.progress['step']:.0f}" if "step" in job.progress else ""
    told = (step, figures(job.progress), job.adapter or job.config["output"], job.detail)
    return f"{job.id}  {job.recipe}  {job.status}  " + "; ".join(filter(None, told))


def _json(value: Any) -> str:
    return json.dumps(value, indent=2)

"""The command line: the second door. No business logic."""

from __future__ import annotations

import asyncio
import logging
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
import uvicorn

from app.commands.train import train
from app.commands.worker import worker
from app.config import Settings, load_settings
from app.errors import ServiceError
from app.services.bundle import Services
from app.services.training.exporting import export as export_records
from app.storage.migrate import migrate
from app.wiring import open_services

cli = typer.Typer(no_args_is_help=True, add_completion=True, pretty_exceptions_enable=False)

cli.add_typer(train, name="train")
cli.command()(worker)

_FAREWELL_SECONDS = 10
"""Who still listens to a stream when the service stops is cut off after so long."""


@cli.callback()
def door() -> None:
    """Clarifying hypotheses in front of an assistant."""


@cli.command()
def serve() -> None:
    """Serve HTTP at HOST and PORT until interrupted."""
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s", level=logging.WARNING)
    settings = load_settings()
    config = uvicorn.Config(
        "app.main:create_app",
        factory=True,
        host=settings.host,
        port=settings.port,
        log_level="warning",
        timeout_graceful_shutdown=_FAREWELL_SECONDS,
    )
    _Server(config, settings).run()


class _Server(uvicorn.Server):
    """Says where it listens once it does."""

    def __init__(self, config: uvicorn.Config, settings: Settings) -> None:
        super().__init__(config)
        self._settings = settings

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            url = f"http://{self._settings.host}:{self._settings.port}"
            typer.echo(
                f"Embed Service at {url} (SLM_IMPL={self._settings.slm_impl}); API at {url}/docs. Try:\n"
            )
            typer.echo(f"""curl -s {url}/v1/hypothesize -H 'content-type: application/json' \\
  -d '{{"user_id": "ada", "input_text": "build api"}}'\n""")


@cli.command("migrate")
def migrate_database() -> None:
    """Bring the database of DATABASE_URL up to date."""
    settings = load_settings()
    asyncio.run(migrate(settings.database_url))
    typer.echo("The database is up to date.")


@cli.command()
def export(directory: Annotated[Path, typer.Argument(help="Where the four JSONL files go")]) -> None:
    """Rebuild the training files from the database."""
    lines = asyncio.run(_export(load_settings(), directory))
    for name, count in lines.items():
        typer.echo(f"{count:8d} {name}")


async def _export(settings: Settings, directory: Path) -> dict[str, int]:
    async with open_services(settings) as services:
        return await export_records(services.store, services.collector, directory)


@cli.command()
def fold(
    check: Annotated[
        bool, typer.Option(help="Change nothing; exit 1 where what is stored or learned is no fold")
    ] = False,
) -> None:
    """Learn anew from what is stored, and write every persona anew.

    Each tenant's fingerprint is the one that GET /v1/playbook gives.
    """
    lines, alike = asyncio.run(_fold(load_settings(), check))
    typer.echo("\n".join(lines))
    if not alike:
        raise typer.Exit(1)


async def _fold(settings: Settings, check: bool) -> tuple[list[str], bool]:
    lines, alike = [], True
    async with open_services(settings) as services:
        everyone = await services.store.list_users(None)
        for tenant in sorted({tenant for tenant, _ in everyone}):
            users = [user_id for of, user_id in everyone if of == tenant]
            folded = await services.learned.refolded(tenant)
            name = folded.fingerprint()
            if check and (await services.learned.refolded(tenant, page=1)).fingerprint() != name:
                alike, name = False, "differs when folded event by event"
            lines.append(
                f"{tenant}: {folded.events} events, {len(folded.playbook)} entries,"
                f" {len(users)} personas, {name}"
            )
            strange = await _folded_personas(services, tenant, users, check)
            alike = alike and not strange
            lines += [
                f"{tenant}: the persona of {user_id} is not what its events give" for user_id in strange
            ]
    return lines, alike


async def _folded_personas(services: Services, tenant: str, users: list[str], check: bool) -> list[str]:
    """Write them anew; with `check` write nothing and name those that would change."""
    if check:
        return [user_id for user_id in users if not await services.persona.is_folded(tenant, user_id)]
    for user_id in users:
        await services.learner.refold(tenant, user_id)
    return []


@cli.command()
def calibration(
    tenant: Annotated[str, typer.Option(help="Whose; without API_KEYS there is one")] = "default",
) -> None:
    """How far probabilities can be trusted, and what may be assumed: the figures of GET /v1/calibration."""
    report = asyncio.run(_calibration(load_settings(), tenant))
    for line in _calibration_lines(report):
        typer.echo(line)


async def _calibration(settings: Settings, tenant: str) -> dict[str, Any]:
    async with open_services(settings) as services:
        return (await services.learned.get(tenant)).choices.report()


def _calibration_lines(report: dict[str, Any]) -> Iterator[str]:
    for one in report["calibrations"]:
        judged = one["judged"]
        name = " ".join(filter(None, (one["producer"], one["model"], one["adapter"], one["prompt_version"])))
        yield f"{name}: {one['labels']} labels, {judged['labels']} of them judged a probability given before"
        if judged["labels"]:
            yield (
                f"  ECE {judged['ece']:.3f} ({judged['ece_by_chance']:.3f} by chance),"
                f" Brier {judged['brier']:.3f}, skill {judged['skill'] or 0:.3f}"
            )
        for bin_ in judged["bins"]:
            bar = "#" * round(40 * bin_["observed"])
            said, seen = f"said {bin_['predicted']:.2f}", f"came true {bin_['observed']:.2f}"
            yield f"  {said}  {seen}  {bin_['labels']:5d}  {bar}"
    bound = report["bound"]
    assumed = "nothing" if bound["threshold"] is None else f"scores from {bound['threshold']:.2f}"
    yield (
        f"Assumed without asking: {assumed}; at most {bound['alpha']:.0%} wrong, sure to"
        f" {1 - bound['delta']:.0%}, by {bound['labels']} labels; stood down {bound['stood_down']} times"
    )


def main() -> None:
    """Entry point: an error of ours is one line on stderr and exit status 1."""
    try:
        cli()
    except ServiceError as error:
        sys.exit(f"embed-service: {error.detail}")

"""The command line: the second door. No business logic."""

from __future__ import annotations

import asyncio
import logging
import socket
import sys
from pathlib import Path
from typing import Annotated

import typer
import uvicorn

from app.config import Settings, load_settings
from app.errors import ServiceError
from app.services.training.history import read_history
from app.storage.migrate import migrate
from app.wiring import open_services

cli = typer.Typer(no_args_is_help=True, add_completion=True, pretty_exceptions_enable=False)


@cli.callback()
def door() -> None:
    """Clarifying hypotheses in front of an assistant."""


@cli.command()
def serve() -> None:
    """Serve HTTP at HOST and PORT until interrupted."""
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s", level=logging.WARNING)
    settings = load_settings()
    config = uvicorn.Config(
        "app.main:create_app", factory=True, host=settings.host, port=settings.port, log_level="warning"
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
        return await services.collector.export(await read_history(services.store), directory)


@cli.command()
def fold(
    check: Annotated[
        bool, typer.Option(help="Fold event by event too; exit 1 where the states differ")
    ] = False,
) -> None:
    """Learn anew from what is stored; each tenant's fingerprint is the one that GET /v1/playbook gives."""
    lines, alike = asyncio.run(_fold(load_settings(), check))
    typer.echo("\n".join(lines))
    if not alike:
        raise typer.Exit(1)


async def _fold(settings: Settings, check: bool) -> tuple[list[str], bool]:
    lines, alike = [], True
    async with open_services(settings) as services:
        for tenant in sorted({tenant for tenant, _ in await services.store.list_users(None)}):
            folded = await services.learned.refolded(tenant)
            name = folded.fingerprint()
            if check and (await services.learned.refolded(tenant, page=1)).fingerprint() != name:
                alike, name = False, "differs when folded event by event"
            lines.append(f"{tenant}: {folded.events} events, {len(folded.playbook)} entries, {name}")
    return lines, alike


def main() -> None:
    """Entry point: an error of ours is one line on stderr and exit status 1."""
    try:
        cli()
    except ServiceError as error:
        sys.exit(f"embed-service: {error.detail}")

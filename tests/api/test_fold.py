"""`embed-service fold --check` on what the service stored."""

import asyncio
from pathlib import Path

import pytest
from typer.testing import CliRunner

from app.cli import cli
from tests.api.conftest import running, settings_in
from tests.api.test_playbook import typed


def test_the_command_line_folds_what_the_service_folded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_in(tmp_path, playbook="none")

    async def teach() -> str:
        async with running(settings) as client:
            await typed(client, "Help me organize a game night")
            await typed(client, "Plan a trip", "What is your budget?")
            return str((await client.get("/v1/playbook")).json()["fingerprint"])

    fingerprint = asyncio.run(teach())
    monkeypatch.setenv("DATABASE_URL", settings.database_url)
    monkeypatch.setenv("PLAYBOOK", "none")
    result = CliRunner().invoke(cli, ["fold", "--check"])
    assert result.exit_code == 0
    assert result.output == f"default: 2 events, 2 entries, {fingerprint}\n"

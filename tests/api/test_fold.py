"""`embed-service fold` on what the service stored."""

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from app.cli import cli
from tests.api.conftest import running, settings_in
from tests.api.test_feedback import judge
from tests.api.test_playbook import typed_by_all
from tests.api.test_story import ask, pick


def test_the_command_line_folds_what_the_service_folded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_in(tmp_path, playbook="none")

    async def teach() -> str:
        async with running(settings) as client:
            await typed_by_all(client, "Help me organize a game night")
            await typed_by_all(client, "Plan a trip", "What is your budget?")
            return str((await client.get("/v1/playbook")).json()["fingerprint"])

    fingerprint = asyncio.run(teach())
    monkeypatch.setenv("DATABASE_URL", settings.database_url)
    monkeypatch.setenv("PLAYBOOK", "none")
    result = CliRunner().invoke(cli, ["fold", "--check"])
    assert result.exit_code == 0
    assert result.output == f"default: 6 events, 2 entries, 3 personas, {fingerprint}\n"


def test_a_changed_persona_is_told_and_written_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = settings_in(tmp_path)
    monkeypatch.setenv("DATABASE_URL", settings.database_url)

    async def live() -> list[Any]:
        async with running(settings) as client:
            for user in ("ada", "bob"):
                shown = await ask(client, user_id=user)
                await pick(client, shown)
                await judge(client, user_id=user, request_id=shown["request_id"], rating=1)
                stated = {"facets": [{"name": "editor", "value": "vi"}, {"name": "editor", "value": "ed"}]}
                assert (await client.patch(f"/v1/personas/{user}", json=stated)).status_code == 200
            return [(await client.get(f"/v1/personas/{user}")).json() for user in ("ada", "bob")]

    def folded(*flags: str) -> tuple[int, list[str]]:
        result = CliRunner().invoke(cli, ["fold", *flags])
        return result.exit_code, result.output.splitlines()[1:]

    async def read() -> list[Any]:
        async with running(settings) as client:
            return [(await client.get(f"/v1/personas/{user}")).json() for user in ("ada", "bob")]

    before = asyncio.run(live())
    assert folded("--check") == (0, [])
    with closing(sqlite3.connect(tmp_path / "embed.db")) as connection:
        connection.execute("UPDATE facets SET value = 'forged' WHERE user_id = 'ada'")
        connection.commit()
    assert asyncio.run(read()) != before
    told = (1, ["default: the persona of ada is not what its events give"])
    assert folded("--check") == told
    assert folded("--check") == told, "to check changes nothing"
    assert folded() == (0, [])
    assert folded("--check") == (0, [])
    assert asyncio.run(read()) == before

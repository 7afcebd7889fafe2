"""`embed-service calibration` on a database that has learned something."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from typer.testing import CliRunner

from app.cli import cli
from app.storage.migrate import migrate
from app.storage.open import open_store
from tests.nouns import a_selection
from tests.unit.test_learned_choices import asked


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    return {"DATABASE_URL": f"sqlite:///{tmp_path}/embed.db", "PLAYBOOK": "none", "API_KEYS": ""}


async def taught(url: str, answers: int) -> None:
    await migrate(url)
    store = open_store(url)
    for number in range(answers):
        await store.add_interaction(asked(number))
        await store.add_selection(a_selection(f"r{number}"))
    await store.aclose()


def test_an_empty_database_assumes_nothing(environment: dict[str, str]) -> None:
    said = CliRunner().invoke(cli, ["calibration"], env=environment)
    assert said.exit_code == 0
    assert said.output.startswith("Assumed without asking: nothing; at most 5% wrong")


def test_a_diagram_for_each_calibration_and_the_threshold(environment: dict[str, str]) -> None:
    asyncio.run(taught(environment["DATABASE_URL"], 200))
    said = CliRunner().invoke(cli, ["calibration"], env=environment)
    assert "vllm small p1: 400 labels, 350 of them judged" in said.output
    assert "ECE 0." in said.output
    assert "came true" in said.output
    assert "scores from 0." in said.output
    elsewhere = CliRunner().invoke(cli, ["calibration", "--tenant", "other"], env=environment)
    assert "labels, " not in elsewhere.output
